import pytest

from rtscope.errors import UsageError
from rtscope.render.jsonpath import evaluate, find

DOCUMENT = {
    "containers": [
        {"name": "web", "state": "running", "pid": 101, "labels": {"a.b": "x", "tier": "front"}},
        {"name": "db", "state": "stopped", "pid": None, "labels": {}},
        {"name": "job", "state": "stopped", "pid": 103, "labels": {"a.b": "y"}},
    ],
    "node": "n1",
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.containers[*].name}", "web db job"),
        (".containers[*].name", "web db job"),
        ("{$.containers[0].name}", "web"),
        ("{.containers[-1].name}", "job"),
        ("{.containers[0:2].name}", "web db"),
        ("{.containers[1:].name}", "db job"),
        ("{.containers[0]['name']}", "web"),
        ("{.containers[0]['name','state']}", "web running"),
        ("{.containers[0,2].name}", "web job"),
        ('{.containers[?(@.state=="stopped")].name}', "db job"),
        ("{.containers[?(@.pid>101)].name}", "job"),
        ("{.containers[?(@.pid)].name}", "web job"),
        ("{.containers[?(@.state!='running')].pid}", " 103"),
        ("{..name}", "web db job"),
        ("{.containers[0].labels['a.b']}", "x"),
        ("{.containers[0].labels.a\\.b}", "x"),
        ("{.containers[0].labels.*}", "x front"),
        ("{.nothing.there}", ""),
        ("node {.node}!", "node n1!"),
        ('{range .containers[*]}{.name}{"\\t"}{.pid}{"\\n"}{end}', "web\t101\ndb\t\njob\t103\n"),
        ("{range .containers[*]}{.name}@{$.node} {end}", "web@n1 db@n1 job@n1 "),
        ("{.containers[1].labels}", "{}"),
        ('{.containers[?(@.name=="we}b")].name}', ""),
    ],
)
def test_template_of_the_common_subset(template, text):
    assert evaluate(template, DOCUMENT) == text


@pytest.mark.parametrize(
    "template",
    [
        "{.a",
        "{end}",
        "{range .a}",
        "{.a[}",
        "{.a[x]}",
        "{.a[?(]}",
        "{.a b}",
        "{a!}",
        "{.a[?(@.x=1)]}",
    ],
)
def test_template_that_is_not_understood_is_a_usage_error(template):
    with pytest.raises(UsageError):
        evaluate(template, DOCUMENT)


def test_hostile_string_is_made_harmless():
    assert evaluate("{.a}", {"a": "x\x1b[2Jy\n"}) == "x\\e[2Jy\\n"


def test_find_yields_values():
    assert find("containers[*].pid", DOCUMENT) == [101, None, 103]
