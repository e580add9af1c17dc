"Model cards: figures from the ledger only, metadata that the Hub reads back, and plain names."

import copy, json, math, re

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import given, settings, strategies as st
from markdown_it import MarkdownIt

from emotion_nbdev.production.card import (
    card_metadata,
    check_metadata,
    confusion_image,
    escaped,
    front_matter,
    public_name,
    render_card,
    write_card,
)
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.evaluation import Answers, METRICS, ledger, ledger_row, plot_counts

HOSTILE = [
    "joy | <script>alert(1)</script> [x](http://e.vil)",
    ": - #",
    "*bold* _soft_ ~~out~~",
    "two\nlines\r\nthree",
    "---\nlicense: mit\n---",
    "`code` ```",
    "![x](http://e.vil/x.png)",
    "<img src=x onerror=alert(1)>",
    "www.e.vil and http://e.vil and a@e.vil",
    "a \\| b \\",
    "{{ 7 * 7 }} {% raw %}",
    "$x$ $$",
    "&lt;b&gt; &#60;",
    "right \u202e left \u2028 \x00",
    "# heading",
    "- item",
    "| --- |",
    "no",
    "1e3",
    "\"quoted\" 'too'",
    "[x]: http://e.vil",
    "👩‍🚀 喜び",
]
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def made_ledger(
    names=("joy", "anger", "fear"),
    approaches=("majority", "tfidf", "fine-tuned"),
    splits=("validation", "test"),
):
    "Rows of made-up answers, right more often from approach to approach"
    rows = []
    for split, shift in zip(splits, (0, 1)):
        texts, labels = (
            [f"note {split} {number}" for number in range(30)],
            [names[number * number % len(names)] for number in range(30)],
        )
        for rung, approach in enumerate(approaches):
            answered = [
                label if (number + shift) % 4 < rung + 1 else names[0]
                for number, label in enumerate(labels)
            ]
            probabilities = [
                [0.8 if name == answer else 0.2 / (len(names) - 1) for name in names]
                for answer in answered
            ]
            rows.append(
                ledger_row(
                    Answers(approach, split, texts, labels, probabilities, names), fit_seconds=1.5
                )
            )
    return rows


ROWS = made_ledger()
TRAINING = {
    "format": 1,
    "approach": "fine-tuned",
    "settings": {
        "checkpoint": "example/encoder",
        "epochs": None,
        "token_pattern": r"\w+",
        "seed": 42,
    },
    "versions": {"torch": "2.9.0"},
    "classes": ["anger", "fear", "joy"],
    "data": {
        "source": "/home/ann-a/mails.csv",
        "fingerprint": {"train": "ab" * 8, "validation": "cd" * 8},
        "rows": {"train": 900, "validation": 30},
    },
    "ceiling": {
        "n": 930, "conflicting": 23, "accuracy": 0.975, "interval": [0.95, 0.99],
        "drawn_from": None, "splits": ["train", "validation"],
    },
}


def card(rows=ROWS, training=TRAINING, name="example/mails", approach="fine-tuned", **options):
    return render_card(name, approach, rows, training, **options)


def rendered(text):
    return MARKDOWN.render(ModelCard(text).text)


def tables(text):
    "Each table of a card as rows of cells, as a reader of the page sees them"
    found, row = [], None
    for token in MARKDOWN.parse(ModelCard(text).text):
        if token.type == "table_open":
            found.append([])
        if token.type == "tr_open":
            row = []
        if token.type == "tr_close":
            found[-1].append(row)
        if token.type == "inline" and token.level >= 4:
            row.append("".join(child.content for child in token.children))
    return found


def test_figures_are_those_of_the_ledger():
    text, table = card(), ledger(ROWS)
    for row in table.to_dict("records"):
        assert re.search(
            r"\| \**"
            + row["approach"]
            + r"\** \| "
            + row["split"]
            + r" \| 30 \| "
            + re.escape(" | ".join(row[metric] for metric in METRICS))
            + r" \|",
            text,
        )
    own = next(row for row in ROWS if (row["approach"], row["split"]) == ("fine-tuned", "test"))
    names = [entry["class"] for entry in own["per_class"]]
    assert [
        ["", *names],
        *([name, *map(str, counts)] for name, counts in zip(names, own["confusion"])),
    ] in tables(text)
    assert ["0.975 [0.950, 0.990]"] == re.findall(r"23 of the 930 messages of train, validation .* exceed an accuracy of (.*\])\.", text)


@pytest.mark.parametrize("metric", METRICS)
def test_a_changed_row_changes_the_card(metric):
    rows = copy.deepcopy(ROWS)
    rows[-1] |= {metric: 0.123456, f"{metric}_interval": [0.111, 0.222]}
    before, after = card(), card(rows)
    assert "0.123 [0.111, 0.222]" in after and "0.123 [0.111, 0.222]" not in before
    values = {
        result.metric_name: result.metric_value
        for result in ModelCard(after).data.eval_results
        if result.dataset_split == "test"
    }
    assert values[f"{METRICS[metric]}, 95 % interval 0.111 to 0.222"] == 0.123456


def test_model_index_holds_scalars_of_the_own_approach_under_the_true_split():
    metadata = card_metadata(
        "example/mails", "fine-tuned", ROWS, TRAINING, dataset="example/mails-data"
    )
    results = metadata["model-index"][0]["results"]
    assert [
        (result["dataset"]["split"], result["dataset"]["type"], result["dataset"]["name"])
        for result in results
    ] == [
        ("test", "example/mails-data", "mails.csv"),
        ("validation", "example/mails-data", "mails.csv"),
    ]
    for result in results:
        row = next(
            row
            for row in ROWS
            if (row["approach"], row["split"]) == ("fine-tuned", result["dataset"]["split"])
        )
        assert [metric["value"] for metric in result["metrics"]] == [
            row[metric] for metric in METRICS
        ]
    assert (
        metadata["library_name"] == "transformers"
        and metadata["base_model"] == "example/encoder"
        and metadata["datasets"] == ["example/mails-data"]
    )
    assert card_metadata("mails", "tfidf", ROWS, {})["library_name"] == "emotion-nbdev"


def test_a_training_row_is_shown_but_never_published():
    rows = ROWS + [
        row | {"split": "train", "samples": "ef" * 8} for row in ROWS if row["split"] == "test"
    ]
    assert "| **fine-tuned** | train |" in card(rows) and card_metadata(
        "mails", "fine-tuned", rows, {}
    ) == card_metadata("mails", "fine-tuned", ROWS, {})
    with pytest.raises(InputError, match="no row of 'fine-tuned' on test or validation"):
        card([row for row in rows if row["split"] == "train"])


def test_the_hub_library_reads_back_what_was_written():
    metadata = card_metadata(
        "example/mails",
        "fine-tuned",
        ROWS,
        TRAINING,
        "cc-by-4.0",
        ("no", "en"),
        dataset="example/mails-data",
    )
    read = ModelCard(
        card(licence="cc-by-4.0", languages=("no", "en"), dataset="example/mails-data")
    )
    assert read.data.to_dict() == metadata and yaml.safe_load(read.data.to_yaml()) == metadata
    assert ModelCardData(**yaml.safe_load(front_matter(metadata))).to_dict() == metadata


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_labels_stay_labels(label):
    names = (label, f"not {label}", "fear")
    text = card(
        made_ledger(names),
        TRAINING
        | {
            "classes": None,
            "data": {"source": label, "rows": {"train": 9}, "fingerprint": {"train": label}},
            "settings": {"checkpoint": label, label: label},
            "versions": {label: label},
        },
        examples=[(label, label)],
    )
    html, clean = rendered(text), rendered(card(examples=[("a", "joy")]))
    for tag in (
        "<table",
        "<a ",
        "<img",
        "<script",
        "<h1",
        "<h2",
        "<h3",
        "<code",
        "<em",
        "<hr",
        "<pre",
        "<ul",
        "<ol",
        "<blockquote",
        "<del",
    ):
        assert html.count(tag) == clean.count(tag), tag
    assert set(ModelCard(text).data.to_dict()) == set(ModelCard(card()).data.to_dict()) - {
        "base_model"
    }
    shown = [cell for table in tables(text) for row in table for cell in row]
    assert shown.count(" ".join(re.sub("[\u202e\x00]", "\ufffd", label).split())) >= 5
    assert all(len(row) == len(table[0]) for table in tables(text) for row in table)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.isprintable()])
def test_hostile_model_names(name):
    text = card(name=name)
    read, html = ModelCard(text), rendered(text)
    assert (
        read.data.model_name == name
        and html.count("<h1>") == 1
        and "<script" not in html
        and html.count("<img") == 1
        and html.count("<a ") == 0
    )
    code = re.search(r"```python\n(.*?)\n```", text, flags=re.S)[1].splitlines()
    assert len(code) == 6 and eval(code[1].removeprefix("model = ")) == name
    compile("\n".join(code), "card", "exec")


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.text(min_size=1) | st.text(r"\`*_[]<>&|~$:@#!^=-+.1a(){} w/" + '"\n', min_size=1))
def test_any_text_is_shown_as_it_is(text):
    line = escaped(text)
    assert "\n" not in line and "|" not in line and "<" not in line
    tokens = MARKDOWN.parse(f"| a |\n|---|\n| x{line}x |\n\nafter\n")
    assert [token.type for token in tokens].count("tr_open") == 2
    cell = [token for token in tokens if token.type == "inline"][1]
    assert all(child.type in ("text", "text_special") for child in cell.children)
    expected = "".join(
        sign if sign.isprintable() or sign in "\u200c\u200d" else "\ufffd"
        for sign in " ".join(text.split())
    )
    assert "".join(child.content for child in cell.children) == f"x{expected}x"


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text())
def test_metadata_is_refused_or_reads_back(name):
    metadata = card_metadata(name, "fine-tuned", ROWS, {"data": {"source": name}})
    try:
        check_metadata(metadata)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert ModelCard(f"---\n{front_matter(metadata)}\n---\n").data.to_dict() == metadata


def test_no_training_text_unless_asked():
    assert "note test" not in card() and "Some of the training texts" not in card()
    assert [["text", "label"], ["note <b>1</b>", "joy"]] in tables(
        card(examples=[("note <b>1</b>", "joy")])
    )


def test_paths_and_keys_stay_private():
    text = card()
    assert "ann-a" not in text and "mails.csv" in text
    assert (
        public_name("https://ann-a:key@mails.example/a/b.csv?token=1#x")
        == "https://mails.example/a/b.csv"
    )
    assert (
        public_name(r"D:\people\ann-a\mails") == "mails"
        and public_name("../ann-a/mails/") == "mails"
        and public_name("private/ann-a/mails.csv") == "mails.csv"
    )
    assert ["token_pattern", r"\w+"] in [row for table in tables(text) for row in table]
    assert ["epochs", "not set"] in [row for table in tables(text) for row in table]


def test_a_class_without_a_message_is_not_called_the_weakest():
    text = card()
    assert (
        "The weakest class on test is joy: F1 0.800, over 10 messages." in text
        and "No message of test has the label fear: nothing is known about it." in text
    )


def test_labels_and_versions_read_as_lists():
    text = card(training=TRAINING | {"versions": {"torch": "2.9.0", "transformers": "5.3.0"}})
    assert (
        "Labels: joy, anger, fear.\n" in text
        and "Versions: torch 2.9.0, transformers 5.3.0.\n" in text
    )
    assert "not above that of tfidf, fine-tuned.\n" in card(approach="majority", training={})


def test_without_a_test_split_the_card_says_so():
    text = card([row for row in ROWS if row["split"] == "validation"])
    assert (
        "There is no test split" in text and "took no part" not in text and "On validation:" in text
    )
    assert {result.dataset_split for result in ModelCard(text).data.eval_results} == {"validation"}
    assert "took no part in any choice" in card()


def test_without_baselines_the_card_says_so():
    text = card([row for row in ROWS if row["approach"] == "fine-tuned"])
    assert (
        "No majority baseline was measured on test" in text
        and "No tfidf baseline was measured on test" in text
    )
    assert "baseline was measured" not in card()


def test_a_baseline_that_is_ahead_is_named():
    assert "On test, macro-F1 of this model is not above that of fine-tuned." in card(
        approach="tfidf", training={}
    )
    assert "is not above" not in card()


@pytest.mark.parametrize(
    "training", [None, {}, {"settings": {}, "data": {}, "versions": {}}, {"data": {"source": None}}]
)
def test_without_a_training_record_the_card_says_so(training):
    text = card(training=training)
    assert "Source: not recorded." in text and "No model can" not in text
    assert next(row for row in ROWS if row["split"] == "test")["samples"] in text


def test_what_a_card_says_about_licence_and_use():
    assert "None is stated" in card() and "license" not in ModelCard(card()).data.to_dict()
    assert (
        "Licence of this model: mit. The model that it starts from and its training data"
        in card(licence="mit")
    )
    assert "Licence of this model: mit. Its training data" in card(licence="mit", training={})
    assert 'model = "example/mails"\nclassifier = pipeline("text-classification", model=model)' in card()
    assert "from emotion_nbdev.production.artefacts import load" in card(
        approach="tfidf", training={}
    )


@pytest.mark.parametrize(
    "options,message",
    [
        (
            dict(licence="Apache 2.0"),
            "licence 'Apache 2.0' is not known to the Hub. Did you mean 'apache-2.0'?",
        ),
        (dict(licence="mine\nonly"), r"licence 'mine\\nonly' is not known"),
        (dict(licence=["mit"]), "is not known to the Hub"),
        (dict(languages=("english",)), "language 'english' is no code of ISO 639"),
        (dict(languages="jp"), "language 'jp' is no code"),
        (dict(languages=(None,)), "language None"),
        (dict(base_model="./my model"), "base model './my model' cannot be a name on the Hub"),
        (dict(dataset="a/b/c"), "dataset 'a/b/c' cannot be a name"),
        (dict(dataset="a\nb"), r"dataset 'a\\nb'"),
        (dict(name=" "), "model name ' '"),
    ],
)
def test_wrong_metadata_is_refused_in_one_line_before_and_after_training(options, message):
    for rows in ([], ROWS):
        with pytest.raises(
            InputError, match=re.escape(message) if "\\" not in message else message
        ) as caught:
            check_metadata(
                card_metadata(
                    **{
                        "name": "mails",
                        "approach": "fine-tuned",
                        "rows": rows,
                        "training": {},
                        **options,
                    }
                )
            )
        assert len(str(caught.value).splitlines()) == 1


def test_no_figure_that_is_no_number():
    rows = copy.deepcopy(ROWS)
    rows[-1]["log_loss"] = math.nan
    with pytest.raises(InputError, match="log_loss on test is nan, no finite number"):
        card(rows)


def test_ledgers_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="were measured on different messages"):
        card(ROWS[:-1] + [ROWS[-1] | {"samples": "ef" * 8}])
    with pytest.raises(InputError, match="They are of different models"):
        card(training=TRAINING | {"classes": ["joy", "anger"]})
    with pytest.raises(InputError, match="several rows of 'fine-tuned'"):
        card(ROWS + ROWS)
    with pytest.raises(InputError, match="has no macro_f1"):
        card(
            [
                {column: value for column, value in row.items() if column != "macro_f1"}
                for row in ROWS
            ]
        )


def test_files_are_the_same_twice_and_nothing_else_is_left(tmp_path):
    from matplotlib import style

    written = []
    for look in ("default", "dark_background"):
        with style.context(look):
            write_card(
                tmp_path,
                "example/mails",
                "fine-tuned",
                json.loads(json.dumps(ROWS)),
                TRAINING,
                licence="mit",
            )
        written.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert written[0] == written[1] and set(written[0]) == {"README.md", "confusion_matrix.png"}
    assert (
        written[0]["confusion_matrix.png"].startswith(b"\x89PNG")
        and b"Software" not in written[0]["confusion_matrix.png"]
    )
    assert ModelCard.load(tmp_path / "README.md").data.license == "mit"


def test_a_refused_card_leaves_the_old_one(tmp_path):
    write_card(tmp_path, "example/mails", "fine-tuned", ROWS, TRAINING)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError):
        write_card(tmp_path, "example/mails", "fine-tuned", ROWS, TRAINING, licence="none of them")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(InputError, match="is no folder that you may write to"):
        write_card(tmp_path / "gone", "example/mails", "fine-tuned", ROWS, TRAINING)


def test_images_of_odd_names_and_many_classes():
    assert confusion_image([[1, 0], [2, 3]], ["$x$ \\frac{", "喜び\n" * 20]).startswith(b"\x89PNG")
    assert confusion_image([[0, 0], [0, 0]], ["a", "b"]) == confusion_image(
        [[0, 0], [0, 0]], ["a", "b"]
    )
    assert confusion_image([[1, 0], [2, 3]], ["a", "b"]) != confusion_image(
        [[1, 0], [3, 2]], ["a", "b"]
    )
    axes = plot_counts([[1, 0], [2, 3]], ["$x$ \\frac{", "so\n" * 20])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert not any(label.get_parse_math() for label in labels)
        assert labels[0].get_text().startswith("$x$ \\frac{") and labels[1].get_text().startswith(
            "so so so so so so so so…"
        )
    assert confusion_image([[1] * 40] * 40, [str(number) for number in range(40)]).startswith(
        b"\x89PNG"
    )
