"""A partial answer laid over a full one."""

from typing import Any

from rtscope.model.facts import replace
from rtscope.model.observation import Observation

_BY_REF = ("containers", "tasks", "sandboxes", "bundles", "oci_states", "images")


def fold(full: Observation, partial: Observation) -> Observation:
    """`full` with what `partial` says of the refs that it was asked about.

    A record that was asked for and did not come back is gone. Gaps of those refs are replaced;
    the endpoint is as the newer one found it.
    """
    asked = set(partial.scope or ())
    changes: dict[str, Any] = {}
    for name in _BY_REF:
        newer = getattr(partial, name)
        covered = asked | {record.ref for record in newer}
        kept = tuple(record for record in getattr(full, name) if record.ref not in covered)
        if newer or len(kept) != len(getattr(full, name)):
            changes[name] = kept + newer
    subjects = {ref.id for ref in asked}
    kept_gaps = tuple(gap for gap in full.gaps if gap.subject not in subjects)
    return replace(
        full,
        **changes,
        gaps=tuple(dict.fromkeys((*kept_gaps, *partial.gaps))),
        taken_at=max(full.taken_at, partial.taken_at),
        taken_boottime_ns=max(full.taken_boottime_ns, partial.taken_boottime_ns),
    )
