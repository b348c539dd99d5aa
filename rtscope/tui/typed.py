"""What is typed: filters, searches and commands."""

from collections.abc import Callable

from rtscope.errors import UsageError
from rtscope.model.facts import replace
from rtscope.render.columns import BY_KEY, DEFAULT, chosen
from rtscope.tui.board import Board
from rtscope.tui.views.groups import GROUPS


class Typed(Board):
    """The board with its prompt."""

    @property
    def is_in_detail(self) -> bool:
        return self.is_detail_open and self.detail.rows.has_focus

    def action_filter(self) -> None:
        if self.is_in_detail:
            detail = self.detail
            self._ask("/", detail.search_text(), detail.search, lambda _: None,
                      lambda _: None, "search; n and N go on")  # fmt: skip
            return
        view = self.view
        self._ask("/", view.filter_text(), self.set_filter, self.set_filter, self.set_filter,
                  "words, name=web*, label=app=web, !paused, ^regex")  # fmt: skip

    def _ask(
        self,
        sign: str,
        text: str,
        on_done: Callable[[str], None],
        on_change: Callable[[str], None],
        on_cancel: Callable[[str], None],
        help_text: str,
    ) -> None:
        self.prompt.open(
            sign, text, help_text=help_text, on_done=on_done, on_change=on_change,
            on_cancel=on_cancel,
        )  # fmt: skip
        self.footer.add_class("-hidden")

    def set_filter(self, text: str) -> None:
        self.view.filter(text)
        trouble = self.view.filter_trouble()
        if trouble is not None and not self.prompt.is_open:
            self.tell(trouble, is_wrong=True)
        self.follow()
        self.refresh_bars()

    def set_sort(self, key: str) -> None:
        name = key.removeprefix("-")
        if key in ("", "problems"):
            self.containers.sort_by("")
        elif name not in BY_KEY:
            self.tell(f"no column {name!r}", is_wrong=True)
        else:
            self.containers.sort = key if key.startswith("-") else None
            if not key.startswith("-"):
                self.containers.sort_by(key)
            else:
                self.containers.group_by(self.containers.group)
        self.refresh_bars()

    def set_group(self, name: str) -> None:
        if name not in (*GROUPS, "none", ""):
            self.tell(f"no group {name!r}: {', '.join(GROUPS)}", is_wrong=True)
            return
        self.containers.group_by(name)
        self.refresh_bars()

    def set_columns(self, text: str) -> None:
        try:
            columns = chosen(DEFAULT, text)
        except UsageError as error:
            self.tell(error.message, is_wrong=True)
            return
        self.containers.columns_of([column.key for column in columns])

    def set_theme(self, name: str) -> None:
        if name not in self.available_themes:
            self.tell(f"no theme {name!r}", is_wrong=True)
            return
        self.theme = name
        self.remembered = replace(self.remembered, theme=name)
        self.call_after_refresh(self.repaint)
