"Each property that the data card of the embedded corpus claims."

import csv
import hashlib
import re
from collections import Counter, defaultdict
from statistics import median

import pytest

from emotion_nbdev.dataset import EMOTIONS
from emotion_nbdev.error_analysis import EMOJI
from emotion_nbdev.foundations.sources import EMBEDDED

SHARES = dict(sadness=0.29, joy=0.33, love=0.08, anger=0.135, fear=0.12, surprise=0.045)
SIZES = dict(train=2880, validation=360, test=360)
OBVIOUS = {  # the vocabulary that names an emotion outright
    "sadness": """
        sad sadder sadness sadly unhappy depressed depressing miserable misery heartbroken
        heartbreaking heartbreak cry crying cried tears tearful sob sobbing grief grieving
        sorrow lonely loneliness hopeless gloomy devastated disappointed disappointing
        disappointment upset""",
    "joy": """
        happy happier happiest happiness happily joy joyful glad delighted delightful cheerful
        excited exciting excitement thrilled great wonderful amazing awesome fantastic brilliant
        yay enjoy enjoyed enjoying fun smile smiled smiling laugh laughed laughing""",
    "love": """
        love loved loves loving lovely lover adore adores adored adoring darling sweetheart
        beloved affection cherish cherished kiss kisses kissed hug hugs hugged hugging romantic""",
    "anger": """
        angry anger angrily mad furious rage raging annoyed annoying irritated irritating
        outraged outrage outrageous hate hated hates hating pissed fuming livid disgusted
        infuriating infuriated unacceptable""",
    "fear": """
        afraid fear fears feared fearful scared scary scaring terrified terrifying frightened
        frightening anxious anxiety anxiously worried worry worries worrying nervous nervously
        panic panicking panicked dread dreading horror""",
    "surprise": """
        surprise surprised surprises surprising surprisingly shocked shocking shock amazed
        astonished astonishing unexpected unexpectedly unbelievable unbelievably stunned
        stunning wow omg speechless""",
}
ADDRESSED = re.compile(r"(?<!\w)[@#]\w|\w\.example\b")
MISSPELT = r"""
    teh recieve\w* definately becuase tommorow tomorow wierd alot thier untill seperate\w* realy
    beleive freind\w* adn thsi waht suprise\w* occured neccessary accomodat\w* embarass\w*
    greatful loosing calender arguement cant wont didnt dont im ive doesnt wasnt isnt couldnt
    wouldnt hasnt youre thats whats u ur pls plz gonna wanna def tho thru rly""".split()
CARELESS = re.compile(r"([a-z])\1\1|\b[A-Z]{4,}\b|\b(" + "|".join(MISSPELT) + r")\b")


HANDLE = re.compile(r"(?<![\w.])@[\w.-]+")
ADDRESS = re.compile(
    r"https?://\S+|www\.\S+"
    r"|[\w.-]+@[\w.-]+\.\w+"
    r"|\b[\w-]+\.(?:com|org|net|io|co|uk|de)\b"
)


def words(text):
    return re.findall(r"[a-z0-9']+", text.lower().replace("’", "'"))


@pytest.fixture(scope="module")
def rows():
    "Every row as (split, id, text, label)"
    found = []
    for split in SIZES:
        raw = (EMBEDDED / f"{split}.csv").read_bytes()
        assert raw.endswith(b"\r\n") and raw.count(b"\n") == raw.count(b"\r\n")  # RFC 4180
        records = list(csv.reader(raw.decode("utf-8").splitlines(), strict=True))
        assert records[0] == ["id", "text", "label"]
        found += [(split, *record) for record in records[1:]]
    return found


@pytest.fixture(scope="module")
def noise():
    "The labels that are wrong on purpose: id -> (given, true)"
    with open(EMBEDDED / "label_noise.csv", newline="", encoding="utf-8") as file:
        return {row["id"]: (row["given"], row["true"]) for row in csv.DictReader(file)}


def test_sizes_and_class_shares(rows):
    assert Counter(row[0] for row in rows) == SIZES
    assert len({row[1] for row in rows}) == len(rows) == 3600
    for split, size in SIZES.items():
        counts = Counter(label for s, _, _, label in rows if s == split)
        assert set(counts) == set(EMOTIONS)
        for name, share in SHARES.items():
            assert abs(counts[name] / size - share) < 0.005, (split, name)


def test_wrong_labels_are_listed_plausible_and_not_in_test(rows, noise):
    given = {identifier: (split, label) for split, identifier, _, label in rows}
    split_of = Counter(given[identifier][0] for identifier in noise)
    assert split_of["test"] == 0
    for split in ("train", "validation"):
        assert 0.03 <= split_of[split] / SIZES[split] <= 0.05
    assert all(given[identifier][1] == wrong != true for identifier, (wrong, true) in noise.items())
    pairs = Counter(noise.values())
    assert pairs["joy", "love"] >= 10 and pairs["surprise", "fear"] >= 10  # (given, true)
    implausible = {"love anger", "anger love", "joy fear", "joy anger", "anger joy"}
    assert not implausible & {" ".join(pair) for pair in pairs}


def test_lengths(rows):
    lengths = [len(text.split()) for _, _, text, _ in rows]
    assert min(lengths) >= 3 and max(lengths) <= 50 and 12 <= median(lengths) <= 18


def test_written_as_people_write(rows):
    def share(pattern):
        return sum(bool(pattern.search(text)) for _, _, text, _ in rows) / len(rows)

    assert 0.22 <= share(ADDRESSED) <= 0.28
    assert 0.12 <= share(EMOJI) <= 0.18
    assert 0.08 <= share(CARELESS) <= 0.13


def test_emotions_are_rarely_named(rows, noise):
    named = defaultdict(list)
    for _, identifier, text, label in rows:
        emotion = noise[identifier][1] if identifier in noise else label
        found = set(re.findall("[a-z]+", text.lower())) & set(OBVIOUS[emotion].split())
        named[emotion].append(bool(found))
    for emotion, hits in named.items():
        assert sum(hits) / len(hits) <= 0.30, emotion


def test_no_opening_is_shared_by_many(rows):
    openings = Counter(tuple(words(text)[:4]) for _, _, text, _ in rows if len(words(text)) >= 4)
    assert openings.most_common(1)[0][1] <= 6


def test_no_two_messages_are_alike(rows):
    "Word-trigram Jaccard under 0.3, within and across splits"
    trigrams, holders = [], defaultdict(list)
    for number, (_, _, text, _) in enumerate(rows):
        tokens = words(text)
        trigrams.append({tuple(tokens[i : i + 3]) for i in range(len(tokens) - 2)})
        shared = Counter(other for trigram in trigrams[-1] for other in holders[trigram])
        for other, count in shared.items():
            assert count / len(trigrams[-1] | trigrams[other]) < 0.3, (text, rows[other][2])
        for trigram in trigrams[-1]:
            holders[trigram].append(number)
    assert len({" ".join(words(text)) for _, _, text, _ in rows}) == len(rows)


def test_nobody_real_is_addressed(rows):
    # a handle with a hyphen cannot be registered on the large networks;
    # the top-level domain .example is reserved (RFC 2606)
    for _, _, text, _ in rows:
        for handle in HANDLE.findall(text):
            assert "-" in handle.rstrip("-."), text
        for address in ADDRESS.findall(text):
            assert ".example" in address, text


BRANDS = """
    amazon google microsoft facebook instagram tiktok twitter whatsapp youtube netflix spotify
    uber lyft airbnb ebay etsy paypal mastercard tesco sainsbury's asda aldi lidl ikea walmart
    costco starbucks mcdonald's nike adidas samsung sony nintendo playstation xbox lego disney
    bmw audi toyota honda tesla ryanair easyjet lufthansa fedex dhl hermes evri vodafone verizon
    comcast gmail android iphone ipad linux wikipedia reddit linkedin snapchat pinterest
    duolingo photoshop powerpoint minecraft fortnite pokemon coca-cola pepsi heinz nutella dyson
    bosch siemens philips rolex primark gucci parkrun""".split()


def test_no_brand_is_named(rows):
    named = [(set(BRANDS) & set(words(text)), text) for _, _, text, _ in rows]
    assert [found for found in named if found[0]] == []


# the first ten digits of the sha256 of each
SLURS = set(
    """
    08a841e996 120f6e5b4e 158869a973 16ea09fc78 3b1e0d7c5d 3cc0a581d3 566f532d48 886d51e97a
    8f5083e3e5 98b52c4b6b 9915ba2d82 bd331fb1d2 c3de533e9b cc02032349 e7b98c6aa5 e84dde508a
    ee5a869b5a eef3bd0916 f9d0d9b18a""".split()
)


def test_no_slur_is_used(rows):
    vocabulary = {word for _, _, text, _ in rows for word in words(text)}
    vocabulary |= {word.removesuffix("s") for word in vocabulary}
    sums = {hashlib.sha256(word.encode()).hexdigest()[:10]: word for word in vocabulary}
    assert [word for digits, word in sums.items() if digits in SLURS] == []
