"""METEOR against NLTK's own, and where WordNet comes from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics import wordnet as resources
from libra_bench.metrics.cleaning import libra
from libra_bench.metrics.meteor import Meteor


@pytest.fixture
def _wordnet() -> None:
    try:
        Meteor().check()
    except MissingResourceError as gap:
        pytest.skip(str(gap))


@pytest.fixture
def _fresh() -> object:
    """Look for the resources anew, and forget what a test found."""
    import nltk

    before = list(nltk.data.path)
    resources.wordnet.cache_clear()
    resources.word_tokeniser.cache_clear()
    yield
    nltk.data.path[:] = before
    resources.wordnet.cache_clear()
    resources.word_tokeniser.cache_clear()


def one(prediction: str, reference: str) -> float:
    return float(Meteor().score([prediction], [reference]).values["meteor"][0])


@pytest.mark.usefixtures("_wordnet")
def test_equal_to_nltk(parity: Path) -> None:
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.translate.meteor_score import meteor_score

    with pytest.warns(UserWarning, match="multilingual"):
        reader = WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
    _, tokenise = resources.word_tokeniser()
    lines = (parity / "metrics/iu_valid.jsonl").read_text().splitlines()[:120]
    rows = [json.loads(line) for line in lines]
    expected = [
        100
        * meteor_score(
            [tokenise(libra(row["reference"]))],
            tokenise(libra(row["prediction"])),
            wordnet=reader,
            alpha=0.9,
            beta=3.0,
            gamma=0.5,
        )
        for row in rows
    ]
    found = Meteor().score([row["prediction"] for row in rows], [row["reference"] for row in rows])
    np.testing.assert_allclose(found.values["meteor"], expected, rtol=1e-12)


@pytest.mark.usefixtures("_wordnet")
def test_by_hand() -> None:
    # All 4 words match in one run: penalty .5 x (1/4)^3.
    assert one("the heart is normal", "the heart is normal") == pytest.approx(100 * (1 - 0.5 / 64))
    # "lungs" has the stem of "lung"; "normal" is nowhere: P 1/1, R 1/2, one chunk of one word.
    mean = 0.5 / (0.9 * 1 + 0.1 * 0.5)
    assert one("lungs", "lung normal") == pytest.approx(100 * mean * 0.5)
    # A synonym counts as a match where both words are their own stems ("bad", "big"), not where
    # NLTK has cut one of them ("large" to "larg") before it looks for synonyms.
    assert one("bad", "big") == pytest.approx(50)
    assert one("big", "large") == 0
    assert one("heart", "effusion") == 0


@pytest.mark.usefixtures("_wordnet")
def test_odd_texts_have_an_answer() -> None:
    predictions = ["", "...", "心臓は正常", "word " * 10_000, None, "clear"]
    references = ["clear", "clear", "心臓は正常", "word", "clear", ""]
    report = Meteor().score(predictions, references)
    np.testing.assert_array_equal(report.scored, [1, 1, 1, 1, 0, 0])
    assert report.values["meteor"][0] == report.values["meteor"][1] == 0
    assert report.values["meteor"][2] == pytest.approx(50)  # one word, one chunk


@pytest.mark.usefixtures("_wordnet")
def test_the_signature_names_the_sentence_splitter() -> None:
    assert resources.word_tokeniser()[0] in Meteor().signature(3)
    assert "punkt" in Meteor().signature(3)


@pytest.mark.usefixtures("_fresh")
def test_without_wordnet_the_reason_and_the_command_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import nltk

    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(resources, "DEBIAN", tmp_path / "absent")
    with pytest.raises(MissingResourceError, match="WordNet is not on this machine") as caught:
        Meteor().check()
    assert "apt-get install wordnet-base wordnet-sense-index" in caught.value.mend


@pytest.mark.usefixtures("_fresh")
def test_no_network_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where neither data set is here: no name is looked up, nothing connected to."""
    import socket

    import nltk

    asked: list[object] = []

    def refuse(*given: object, **_: object) -> None:
        asked.append(given)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(resources, "DEBIAN", tmp_path / "absent")
    assert resources.word_tokeniser()[0] == "punkt untrained"
    assert [gap.what for gap in Meteor().missing()] == ["WordNet is not on this machine"]
    assert asked == []
    monkeypatch.setenv("LIBRA_BENCH_DOWNLOAD", "1")
    assert Meteor().missing()
    assert asked, "a download that is asked for is tried"


@pytest.mark.usefixtures("_fresh")
def test_a_damaged_copy_of_wordnet_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "debian"
    source.mkdir()
    for name in resources.FILES:
        (source / name).write_text(name)
    own = tmp_path / "nltk_data" / "corpora" / "wordnet"
    monkeypatch.setattr(resources, "DEBIAN", source)
    resources._copy_debian(own)
    assert resources._is_copy(own)
    (own / "data.noun").write_text("cut")
    assert not resources._is_copy(own)
    import nltk

    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(nltk.data, "path", [])
    # It is made again; as these files are no WordNet, that is told, and not with a traceback.
    with pytest.warns(UserWarning, match="is damaged and is made again"):
        (gap,) = Meteor().missing()
    assert "cannot be read" in gap.what
    assert resources._is_copy(own)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.usefixtures("_fresh")
def test_nltks_own_data_is_found_as_a_folder_and_as_its_zip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, packed: bool
) -> None:
    """NLTK's downloader leaves `wordnet.zip` packed."""
    import nltk

    if not resources._debian_complete():
        pytest.skip("needs Debian's wordnet-base and wordnet-sense-index")
    corpora = tmp_path / "nltk_data" / "corpora"
    resources._copy_debian(corpora / "wordnet")
    if packed:
        shutil.make_archive(str(corpora / "wordnet"), "zip", corpora, "wordnet")
        shutil.rmtree(corpora / "wordnet")
    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    monkeypatch.setattr(resources, "DEBIAN", tmp_path / "absent")
    assert len(resources.wordnet().synsets("lung")) == 1


def test_a_corpus_is_made_once_and_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source, target = tmp_path / "debian", tmp_path / "nltk_data" / "corpora" / "wordnet"
    source.mkdir()
    for name in resources.FILES:
        (source / name).write_text(name)
    monkeypatch.setattr(resources, "DEBIAN", source)
    resources._copy_debian(target)
    resources._copy_debian(target)  # as a second process would
    assert sorted(path.name for path in target.iterdir()) == sorted([*resources.FILES, "lexnames"])
    assert [path.name for path in target.parent.iterdir()] == ["wordnet"]
    (source / "data.noun").unlink()
    with pytest.raises(FileNotFoundError):
        resources._copy_debian(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_lexnames_are_wordnet_s() -> None:
    lines = resources.lexnames().splitlines()
    assert len(lines) == 45
    # lexnames(5WN): the first, the last of each part of speech, and the odd one at the end.
    assert lines[0] == "00\tadj.all\t3"
    assert lines[3] == "03\tnoun.Tops\t1"
    assert lines[28] == "28\tnoun.time\t1"
    assert lines[29] == "29\tverb.body\t2"
    assert lines[43] == "43\tverb.weather\t2"
    assert lines[44] == "44\tadj.ppl\t3"
