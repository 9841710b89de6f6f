"""`fetch` with the hub's real client, against a hub of ours on the loopback address."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
import hub_server
from hub_server import Hub, Repository

WEIGHTS = bytes(range(256)) * 20_000
MODEL = {
    "config.json": b'{"model_type": "distilbert"}',
    "tokenizer.json": b"{}",
    "README.md": b"# A page",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": WEIGHTS,
}


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    with hub_server.serving() as hub:
        yield hub


@pytest.fixture
def hub(served: Hub, tmp_path: Path) -> Hub:
    """The server with one repository, `a/model`, and no memory of other tests."""
    served.repositories.clear()
    served.asked.clear()
    served.ranges.clear()
    served.repositories["a/model"] = Repository(dict(MODEL))
    return served


def programs(
    hub: Hub, home: Path, *commands: Sequence[str], **variables: str
) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of commands in one process with an own Hugging Face home."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "COLUMNS": "80"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **variables}
    command = [sys.executable, "-c", IN_ONE, json.dumps(commands)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stdout, done.stdout + done.stderr
    return [(code, out, " ".join(said.split())) for code, out, said in json.loads(done.stdout)]


IN_ONE = """
import json, sys
from typer.testing import CliRunner
from libra_bench.cli.program import app, forbid_the_network
results = []
for arguments in json.loads(sys.argv[1]):
    forbid_the_network(arguments)
    done = CliRunner().invoke(app, arguments)
    results.append((done.exit_code, done.stdout, done.stderr))
print(json.dumps(results))
"""


def program(hub: Hub, home: Path, *command: str, **variables: str) -> tuple[int, str, str]:
    """One command, as of `programs`."""
    (answer,) = programs(hub, home, command, **variables)
    return answer


def held(home: Path) -> dict[str, bytes]:
    """The files of `a/model` in the cache."""
    folders = list(home.glob("hub/models--a--model/snapshots/*"))
    return {one.name: one.read_bytes() for folder in folders for one in folder.iterdir()}


def downloads(hub: Hub) -> dict[str, int]:
    """How often each file was asked for."""
    return {name: count for name, count in hub.asked.items() if name.startswith("GET a/model/res")}


def test_only_what_is_read_is_fetched_and_once(hub: Hub, tmp_path: Path) -> None:
    dry = ("fetch", "a/model", "--dry-run", "--json")
    (code, out, _), (fetched, _, _) = programs(hub, tmp_path, dry, ("fetch", "a/model", "--json"))
    (page,) = json.loads(out)["repositories"]
    size = len(WEIGHTS) + len(MODEL["config.json"]) + len(MODEL["tokenizer.json"])
    assert code == 0 and (page["bytes"], page["bytes_to_fetch"]) == (size, size)
    assert (page["licence"], page["gated"]) == ("mit", False)
    assert page["commit"] == hub.repositories["a/model"].commit
    kept = {name: MODEL[name] for name in ("config.json", "tokenizer.json", "model.safetensors")}
    assert fetched == 0 and held(tmp_path) == kept
    before = downloads(hub)
    assert sum(before.values()) == 3
    code, out, _ = program(hub, tmp_path, "fetch", "a/model")
    assert code == 0 and "5.12 MB" in out and "here" in out and "mit" in out
    assert downloads(hub) == before
    assert all(len(line) <= 80 for line in out.splitlines()), out


def test_a_cut_download_is_continued(hub: Hub, tmp_path: Path) -> None:
    # The client writes 10 MiB at a time: of what is less nothing is kept.
    large, chunk = WEIGHTS * 6, 10 * 2**20
    hub.repositories["a/model"].files["model.safetensors"] = large
    hub.repositories["a/model"].cut["model.safetensors"] = 2 * chunk + 5
    code, _, _ = program(hub, tmp_path, "fetch", "a/model")
    assert code == 0 and held(tmp_path)["model.safetensors"] == large
    assert hub.ranges == [f"model.safetensors bytes={2 * chunk}-"]


def test_a_file_that_is_not_what_the_hub_says_is_taken_away(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["a/model"].damaged.add("model.safetensors")
    code, _, said = program(hub, tmp_path, "fetch", "a/model")
    assert code == 1 and "model.safetensors is damaged (sha256" in said
    assert "model.safetensors" not in held(tmp_path) and "config.json" in held(tmp_path)
    hub.repositories["a/model"].damaged = {"config.json"}
    hub.repositories["a/model"].files["config.json"] = b'{"model_type": "other"}'
    code, _, said = program(hub, tmp_path / "other", "fetch", "a/model")
    assert code == 1 and "config.json is damaged (git" in said
    hub.repositories["a/model"].damaged.clear()
    code, _, _ = program(hub, tmp_path, "fetch", "a/model")
    assert code == 0 and held(tmp_path)["model.safetensors"] == WEIGHTS


REFUSED = [
    ("a/other", 2, "knows no repository a/other"),
    ("a/model@v9", 2, "a/model has no revision 'v9'"),
    ("a/model/none.bin", 2, "has no none.bin"),
    ("libra-tiny", 2, "libra-tiny needs nothing"),
    ("rouge_l", 2, "rouge_l needs nothing"),
    ("libra-8b", 2, "unknown model, metric or OWNER/NAME of a repository 'libra-8b'. Did you mean"),
    ("ratescore --revision v1", 2, "no single repository"),
    ("a/gated", 2, "a/gated is gated"),
    ("a/private", 2, "does not show it to this machine's account"),
    ("a/down", 1, "does not answer as a hub"),
]


def test_refusals_say_what_to_do(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["a/down"] = Repository(dict(MODEL), status={"": 500})
    for name, gated in (("a/gated", True), ("a/private", False)):
        hub.repositories[name] = Repository(dict(MODEL), gated=gated, token="let-me-in")
    commands = [("fetch", *asked.split()) for asked, _, _ in REFUSED]
    answers = programs(hub, tmp_path, *commands)
    for (asked, code, message), (found, _, said) in zip(REFUSED, answers, strict=True):
        assert found == code and message in said, (asked, said)
        if asked == "a/gated":
            assert f"accept its terms at {hub.url}/a/gated, then `hf auth login`" in said
    opened = programs(
        hub, tmp_path, ("fetch", "a/gated"), ("fetch", "a/private"), HF_TOKEN="let-me-in"
    )
    assert [code for code, _, _ in opened] == [0, 0], opened


def test_a_revision_is_fetched_and_used_by_its_name(hub: Hub, tmp_path: Path) -> None:
    first = hub.repositories["a/model"]
    first.revisions["v1"] = first.commit
    option = "bertscore.model=a/model"
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"id": "1", "prediction": "Clear.", "reference": "Clear."}\n')
    score = ("score", "--predictions", str(texts), "--metrics", "bertscore", "--metric-option")
    fetch = ("fetch", "a/model", "--revision", "v1")
    answers = programs(hub, tmp_path, fetch, (*score, option), (*score, f"{option}@v1"))
    assert [code for code, _, _ in answers] == [0, 2, 4]
    assert "a/model is not on this machine" in answers[1][2]
    # It is found, and only then is the made-up file no model.
    assert "is not on this machine" not in answers[2][2]
    assert "model.safetensors" in answers[2][2] or "cannot be used" in answers[2][2]


def test_offline_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    code, _, said = program(hub, tmp_path, "fetch", "a/model", HF_HUB_OFFLINE="1")
    assert code == 2 and "HF_HUB_OFFLINE forbids the network" in said and not hub.asked


def test_nobody_is_asked_by_other_commands(hub: Hub, tmp_path: Path) -> None:
    image = tmp_path / "x.png"  # Looked at before the model.
    Image.new("L", (32, 32), 90).save(image)
    asked = ("predict", "--model", "X-iZhang/libra-v1.0-7b", "--image", str(image))
    code, _, said = program(hub, tmp_path, *asked)
    assert code == 2 and "libra-bench fetch libra-7b" in said and not hub.asked


def test_no_server_is_told(hub: Hub, tmp_path: Path) -> None:
    closed = Hub(url="http://127.0.0.1:9")
    code, _, said = program(closed, tmp_path, "fetch", "a/model")
    assert code == 1 and "http://127.0.0.1:9 does not answer as a hub" in said


def test_too_little_room_is_refused_before_anything(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from libra_bench.core.errors import InputError
    from libra_bench.hub import remote
    from libra_bench.hub.lookup import Source

    page = remote.Page(
        Source("a/model"), "c", None, False, (remote.RemoteFile("w", 10**18, "sha256:0", False),)
    )
    monkeypatch.setattr(remote, "cache_folder", lambda: tmp_path / "not" / "yet")
    with pytest.raises(InputError, match=r"1e\+06 TB are to be fetched|are to be fetched and"):
        remote.check_room([page])
    remote.check_room([])


def test_commits_and_names() -> None:
    from libra_bench.hub import lookup
    from libra_bench.model import zoo

    commit = "0" * 40
    cached = Path("/c/hub/models--a--b/snapshots") / commit / "x" / "model.safetensors"
    assert lookup.commit_of(cached) == lookup.commit_of(cached.parent) == commit
    assert lookup.commit_of(Path("/c/snapshots/1/x")) is None
    entry = zoo.find("libra-7b@v1")
    assert entry.hub_id == "X-iZhang/libra-v1.0-7b@v1"
    assert "libra-bench fetch libra-7b@v1" in zoo.missing_weights(entry).mend
