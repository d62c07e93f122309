"""Registry files become a catalogue; errors in them are reported with place and remedy."""

import re
import textwrap

import pytest

from assay.semconv import CATALOGUE
from assay.semconv.catalogue import Audit, Topic
from assay.semconv.registry import RegistryError, SemconvError, load

ORDER = textwrap.dedent("""\
    file_format: definition/2
    attributes:
      - key: shop.order_id
        type: string
        brief: The order.
        stability: development
    events:
      - name: shop.order.placed
        brief: An order was placed.
        stability: development
        attributes:
          - ref: shop.order_id
    """)
METRIC = textwrap.dedent("""\
    metrics:
      - name: shop.orders
        brief: Orders.
        instrument: counter
        unit: "{order}"
        stability: development
        attributes:
          - ref: shop.order_id
        annotations:
          assay:
            record:
              - event: shop.order.placed
    """)


@pytest.fixture
def write(tmp_path):
    def _write(*parts, name="shop.yaml"):
        path = tmp_path / name
        path.write_text("".join(parts))
        return path

    return _write


def test_the_generated_catalogue_is_that_of_the_registry(registry):
    assert load(registry) == CATALOGUE


def test_a_user_defined_event(write):
    path = write(ORDER, METRIC)
    catalogue = load(path, base=CATALOGUE)
    event = catalogue.events["shop.order.placed"]
    assert event.body == "An order was placed"
    assert [(each.key, each.name) for each in event.attributes] == [("shop.order_id", "order_id")]
    assert catalogue.metrics["shop.orders"].series == "shop_orders_total"
    assert set(catalogue.events) == {"shop.order.placed"}
    assert "flowstone.error" in CATALOGUE.merged(catalogue).events


def test_the_annotations_of_an_event(write):
    extra = """\
            annotations:
              assay:
                severity: warning
                audit: {action: CREATE, outcome: success, target_type: order, target: order_id}
                topics: ["order:{order_id}"]
                cdevents:
                  - {type: artifact.published, subject: "pkg:generic/{shop.order_id}"}
        """
    event = load(write(ORDER, textwrap.indent(textwrap.dedent(extra), "    "))).events["shop.order.placed"]
    assert event.severity == "warning"
    assert event.audit == Audit("CREATE", "success", "order", "order_id")
    assert event.topics == (Topic("order:{order_id}"),)
    assert event.cdevents[0].subject == "pkg:generic/{shop.order_id}"


def test_users_may_refer_to_attributes_and_events_of_assay(write):
    order = ORDER.replace(
        "      - ref: shop.order_id", "      - ref: flowstone.asset\n      - ref: http.route"
    )
    metric = METRIC.replace("shop.order_id", "flowstone.asset").replace(
        "shop.order.placed", "flowstone.io.load.stop"
    )
    catalogue = load(write(order, metric), base=CATALOGUE)
    assert [each.name for each in catalogue.events["shop.order.placed"].attributes] == ["asset", "http_route"]
    assert catalogue.metrics["shop.orders"].recordings[0].event == "flowstone.io.load.stop"


def test_the_messages_of_an_event(write):
    topics = """\
        annotations:
          assay:
            when: {order_id: o-1}
            topics:
              - orders
              - topic: "order:{order_id}"
                message: order_placed
                payload: [kind, order_id, timestamp]
                constants: {kind: new}
    """
    event = load(write(ORDER, textwrap.indent(textwrap.dedent(topics), "    "))).events["shop.order.placed"]
    assert event.when == {"order_id": "o-1"}
    assert event.topics == (
        Topic("orders"),
        Topic("order:{order_id}", "order_placed", ("kind", "order_id", "timestamp"), {"kind": "new"}),
    )


SPAN = textwrap.dedent("""\
    spans:
      - type: shop.delivery
        kind: server
        name: {note: "RUN {order_id}"}
        brief: A delivery.
        stability: development
        attributes:
          - ref: shop.order_id
          - ref: cicd.pipeline.result
            annotations: {assay: {by_phase: {stop: success, lost: failure}}}
          - ref: error.type
            annotations: {assay: {phase: end}}
        annotations: {assay: {name: "RUN {order_id}", phases: {exceptions: [lost]}}}
    """)


def test_a_span_with_a_name_of_its_own(write):
    span = load(write(ORDER, SPAN)).spans["shop.delivery"]
    assert span.name == "RUN {order_id}"
    assert [each.key for each in span.set_at("start")] == ["shop.order_id"]
    assert [(each.key, each.constant) for each in span.set_at("lost")] == [
        ("error.type", None),
        ("cicd.pipeline.result", "failure"),
    ]
    assert span.phases == ("start", "stop", "lost")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name: "RUN {order_id}"', 'name: "RUN {order}"', "the name of `shop.delivery`"),
        ('name: "RUN {order_id}"', 'name: "{error_type}"', "cannot fill: `{error_type}`"),
        ("lost: failure", "start: failure", "does not end the span: `start`"),
        ("lost: failure", "lost: [failure]", "the value at `lost` must be text"),
    ],
)
def test_rejected_annotations_of_a_span(write, old, new, problem):
    with pytest.raises(RegistryError, match=re.escape(problem)):
        load(write(ORDER, SPAN.replace(old, new)))


def test_a_metric_with_upstreams_labels(write):
    metric = """\
    metrics:
      - name: cicd.pipeline.run.duration
        brief: Duration.
        instrument: histogram
        unit: s
        stability: development
        attributes:
          - ref: shop.order_id
            requirement_level: required
          - ref: cicd.pipeline.result
            requirement_level: required
          - ref: cicd.pipeline.run.state
            requirement_level: required
          - ref: error.type
            requirement_level: {conditionally_required: it failed}
        annotations:
          assay:
            labels: keys
            record:
              - {event: shop.delivery.lost, value: duration, defaults: {cicd.pipeline.run.state: executing}}
    """
    found = load(write(ORDER, SPAN, textwrap.dedent(metric))).metrics["cicd.pipeline.run.duration"]
    assert [(each.name, each.source, each.optional) for each in found.labels] == [
        ("shop.order_id", "order_id", False),
        ("cicd.pipeline.result", "", False),
        ("cicd.pipeline.run.state", "", False),
        ("error.type", "error_type", True),
    ]
    assert found.recordings[0].defaults == {
        "cicd.pipeline.result": "failure",
        "cicd.pipeline.run.state": "executing",
    }


def test_a_recording_of_events_without_a_key(write):
    metric = METRIC.replace(
        "- event: shop.order.placed", "- {event: shop.order.placed, when: {order_id: null}}"
    )
    found = load(write(ORDER, metric)).metrics["shop.orders"]
    assert found.recordings[0].when == {"order_id": None}


def test_several_files_and_folders(write, tmp_path):
    write(ORDER)
    write("file_format: definition/2\n", METRIC, name="more.yaml")
    assert "shop.orders" in load(tmp_path).metrics


def _wrong(old, new="", text=ORDER + METRIC):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "line", "problem", "remedy"),
    [
        pytest.param("", 1, "is empty", "file_format", id="empty"),
        pytest.param("attributes: []", 1, "no `file_format`", "definition/2", id="no-format"),
        pytest.param("file_format: definition/1", 1, "`definition/1`", "definition/2", id="other-format"),
        pytest.param("a: [1\n", 2, "is not YAML", "syntax", id="not-yaml"),
        pytest.param("- 1", 1, "must be a mapping", "correct", id="a-list"),
        pytest.param("a: 1\na: 2", 2, "duplicate key `a`", "keep one", id="duplicate-key"),
        pytest.param(
            _wrong("attributes:\n", "atributes:\n"),
            2,
            "unknown key `atributes`",
            "`attributes`",
            id="section",
        ),
        pytest.param(
            _wrong("    brief: The order.\n"), 3, "has no `brief`", "add `brief:`", id="missing-field"
        ),
        pytest.param(
            _wrong("type: string", "type: text"), 4, "unknown: `text`", "string", id="attribute-type"
        ),
        pytest.param(
            _wrong("type: string", "type: {members: []}"), 4, "no members", "add one", id="no-members"
        ),
        pytest.param(
            _wrong("brief: The order.", "brief: [1]"), 5, "must be text, not a list", "", id="field-type"
        ),
        pytest.param(
            _wrong("stability: development", "stability: new"), 6, "unknown: `new`", "stable", id="stability"
        ),
        pytest.param(
            _wrong("- ref: shop.order_id", "- ref: shop.ordre_id"),
            12,
            "unknown attribute",
            "`shop.order_id`",
            id="reference",
        ),
        pytest.param(
            _wrong("- ref: shop.order_id", "- ref_group: x"), 12, "attribute group `x`", "", id="group"
        ),
        pytest.param(
            _wrong("- ref: shop.order_id", "- shop.order_id"),
            12,
            "must be a mapping",
            "",
            id="bare-reference",
        ),
        pytest.param(_wrong('    unit: "{order}"\n'), 14, "has no `unit`", "add `unit:`", id="no-unit"),
        pytest.param(_wrong('"{order}"', '""'), 17, "has no unit", "UCUM", id="empty-unit"),
        pytest.param(_wrong("counter", "counts"), 16, "unknown: `counts`", "counter", id="instrument"),
        pytest.param(
            _wrong("event: shop.order.placed", "event: shop.order.place"),
            24,
            "unknown event",
            "`shop.order.placed`",
            id="event",
        ),
        pytest.param(
            _wrong("event: shop.order.placed", "event: shop.order.placed\n            value: ordre_id"),
            25,
            "`value` of a recording of `shop.orders`",
            "`order_id`",
            id="recorded-value",
        ),
        pytest.param(
            _wrong("event: shop.order.placed", "event: shop.order.placed\n            when: {paid: true}"),
            25,
            "reads what `shop.order.placed` lacks: `paid`",
            "it has: duration, order_id",
            id="recorded-when",
        ),
        pytest.param(
            _wrong(
                "event: shop.order.placed", "event: shop.order.placed\n            defaults: {ordre_id: x}"
            ),
            25,
            "names a label that it lacks: `ordre_id`",
            "`order_id`",
            id="recorded-default",
        ),
        pytest.param(_wrong("record:", "records:"), 23, "unknown key `records`", "`record`", id="annotation"),
        pytest.param(
            _wrong("assay:\n", "assay:\n        buckets: [1]\n"), 23, "has buckets", "histogram", id="buckets"
        ),
        pytest.param(
            _wrong("assay:\n", "assay:\n        series: orders\n"),
            23,
            "`shop_orders_total`",
            "leave",
            id="series",
        ),
        pytest.param(
            _wrong("    - ref: shop.order_id\n    annotations", "    - ref: error.type\n    annotations"),
            20,
            "label `error_type`",
            "order_id",
            id="label",
        ),
        pytest.param(
            _wrong(
                "    - ref: shop.order_id\nmetrics",
                "    - ref: shop.order_id\n      - ref: shop.order_id\nmetrics",
            ),
            13,
            "both named `order_id`",
            "remove one",
            id="twice",
        ),
    ],
)
def test_rejected(write, text, line, problem, remedy):
    path = write(text)
    with pytest.raises(RegistryError, match=re.escape(problem)) as caught:
        load(path)
    assert caught.value.line == line, str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert remedy in caught.value.remedy
    assert isinstance(caught.value, SemconvError)


@pytest.mark.parametrize(
    ("annotations", "problem"),
    [
        (
            "{audit: {action: A, outcome: success, target_type: t, target: order}}",
            "`target` of the audit record",
        ),
        (
            "{audit: {action: A, outcome: good, target_type: t, target: order_id}}",
            "outcome of `shop.order.placed` is unknown",
        ),
        ("{audit: {action: A}}", "has no `outcome`"),
        ("{audit: yes please}", "must be a mapping"),
        ("{severity: fatal}", "is unknown: `fatal`"),
        ('{topics: ["order:{order}"]}', "a topic of `shop.order.placed`"),
        ("{topics: [1]}", "must be text"),
        ('{cdevents: [{type: t, subject: "{order_id}"}]}', "`subject` of a CDEvent"),
        ('{cdevents: [{type: t, subject: x, content: {a: ["{b}"]}}]}', "`content` of a CDEvent"),
        ("{cdevents: [{type: t, subject: x, when: {a: 1}}]}", "`when` of a CDEvent"),
        ("{cdevents: [x]}", "must be a mapping"),
        ("{audits: {}}", "unknown key `audits`"),
        ("{when: {paid: true}}", "a key that it does not carry: `paid`"),
        ('{topics: [{topic: "order:{order}"}]}', "a placeholder that it cannot fill: `{order}`"),
        ("{topics: [{message: placed}]}", "has no `topic`"),
        ("{topics: [{topic: t, payload: [order]}]}", "a key that the event does not carry: `order`"),
        ("{topics: [{topic: t, constants: {kind: x}}]}", "`kind`, which is not in its `payload`"),
    ],
)
def test_rejected_annotations_of_an_event(write, annotations, problem):
    path = write(ORDER, f"    annotations: {{assay: {annotations}}}\n")
    with pytest.raises(RegistryError, match=re.escape(problem)) as caught:
        load(path)
    assert caught.value.line == 13


def test_a_name_defined_in_two_files(write):
    first, second = write(ORDER), write(ORDER, name="other.yaml")
    with pytest.raises(RegistryError, match=re.escape(f"first at {first}:3")) as caught:
        load(first, second)
    assert caught.value.path == second


@pytest.mark.parametrize(
    ("old", "new"), [("shop.order_id", "flowstone.asset"), ("shop.order.placed", "flowstone.error")]
)
def test_a_name_defined_by_assay(write, old, new):
    with pytest.raises(RegistryError, match=f"`{new}`.*Assay defines it"):
        load(write(ORDER.replace(old, new)), base=CATALOGUE)


def test_a_missing_file(tmp_path):
    with pytest.raises(RegistryError, match="No such file"):
        load(tmp_path / "none.yaml")


def test_a_folder_without_files(tmp_path):
    with pytest.raises(RegistryError, match="without registry files"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\xfa", b"a: \x00", b"a: &x [*x]", b"[" * 5000, b"a: !!python/object:os.x {}"]
)
def test_bytes_that_are_not_a_registry(tmp_path, content):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(RegistryError):
        load(path)
