"""The workflows, the release check and the Dockerfile fit the repository; `make release-check` and GitHub run them."""

import re
import runpy
import shlex
import tomllib

import pytest

from infinitedance.cli import build_parser

yaml = pytest.importorskip("yaml", reason="needs the extra `data`")


@pytest.fixture(scope="module")
def project(repository_root) -> dict:
    return tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def release_check(repository_root) -> dict:
    return runpy.run_path(str(repository_root / ".ci/release_check.py"))


@pytest.fixture(scope="module")
def workflows(repository_root) -> dict[str, dict]:
    paths = sorted((repository_root / ".github/workflows").iterdir())
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def steps_of(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_command_of_a_workflow_exists(repository_root, workflows):
    goals = set(re.findall(r"^([\w-]+):", (repository_root / "Makefile").read_text(), re.M))
    commands = [step["run"] for workflow in workflows.values() for step in steps_of(workflow) if "run" in step]
    assert len(commands) >= 5
    for command in commands:
        words = shlex.split(command)
        if words[0] == "make":
            assert words[1] in goals, command
        elif words[:3] == ["python", "-m", "pip"]:
            assert (repository_root / words[words.index("--constraint") + 1]).is_file()
        else:
            assert words[0] == "python" and (repository_root / words[1]).is_file(), command


def test_actions_are_pinned_and_permissions_are_the_least(workflows):
    uses = [step["uses"] for workflow in workflows.values() for step in steps_of(workflow) if "uses" in step]
    assert uses and all(re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", action) for action in uses)
    for workflow in workflows.values():
        assert workflow["permissions"] == {"contents": "read"}
    granted = [
        job["permissions"]
        for workflow in workflows.values()
        for job in workflow["jobs"].values()
        if "permissions" in job
    ]
    assert granted == [{"id-token": "write"}]  # to publish, by which no secret is needed


def test_only_a_tag_publishes_and_only_what_was_checked(workflows):
    release = workflows["release"]
    assert release[True]["push"] == {"tags": ["v*"]}  # YAML reads the key `on` as true
    publish = release["jobs"]["publish"]
    assert publish["needs"] == "check" and "refs/tags/v" in publish["if"]
    (kept,) = [step for step in release["jobs"]["check"]["steps"] if "upload-artifact" in step.get("uses", "")]
    (taken,) = [step for step in publish["steps"] if "download-artifact" in step["uses"]]
    assert kept["with"]["name"] == taken["with"]["name"] and kept["with"]["path"] == taken["with"]["path"] == "dist/"
    matrix = release["jobs"]["check"]["strategy"]["matrix"]
    for value in re.findall(r"== '([^']+)'", kept["if"]):
        assert value in matrix["system"] + matrix["python"]  # one of the nine, so that it is kept once


def test_workflows_run_the_pythons_and_systems_that_the_package_names(workflows, project):
    named = [text.rsplit(" ", 1)[1] for text in project["classifiers"] if re.search(r"Python :: 3\.", text)]
    assert f">={named[0]}" == project["requires-python"]
    for workflow, job in (("ci", "tests"), ("release", "check")):
        assert workflows[workflow]["jobs"][job]["strategy"]["matrix"]["python"] == named
    systems = [
        system.split("-")[0] for system in workflows["release"]["jobs"]["check"]["strategy"]["matrix"]["system"]
    ]
    assert len([text for text in project["classifiers"] if text.startswith("Operating System")]) == len(systems) == 3
    assert sorted(systems) == ["macos", "ubuntu", "windows"]


def test_every_extra_of_a_user_is_checked_before_a_release(release_check, project):
    checked = {extra for smoke in (*release_check["SMOKES"], release_check["FBX"]) for extra in smoke.extra.split(",")}
    of_developers = {"browser", "quality", "release", "test"}
    assert checked == {*project["optional-dependencies"], ""} - of_developers - {"kernels"}
    parser = build_parser()
    commands = [words for smoke in release_check["SMOKES"] for words in map(shlex.split, smoke.commands)]
    for words in commands:
        if words[0] == "infinitedance":
            parser.parse_args(words[1:])


def test_the_changelog_has_the_version_and_says_how_to_upgrade(release_check, repository_root, project):
    assert release_check["check_versions"](f"v{project['version']}") == project["version"]
    with pytest.raises(SystemExit, match="the tag is v9.9.9"):
        release_check["check_versions"]("v9.9.9")
    sections = re.split(r"^## ", (repository_root / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert sections[1].startswith("Unreleased\n") and "### Upgrade from" in sections[2]


def test_links_of_the_readme_are_made_absolute(release_check, repository_root):
    text = "[a](docs/a.md#b) ![c](docs/c.jpg) [d](https://example.org) [`open`](assets/x/README.md) [e](#f)"
    assert release_check["absolute_links"](text, "https://host/owner/name", "0.2.0") == (
        "[a](https://host/owner/name/blob/v0.2.0/docs/a.md#b) ![c](https://host/owner/name/raw/v0.2.0/docs/c.jpg) "
        "[d](https://example.org) [`open`](https://host/owner/name/blob/v0.2.0/assets/x/README.md) [e](#f)"
    )
    readme = (repository_root / "README.md").read_text(encoding="utf-8")
    made = release_check["absolute_links"](readme, "https://host/owner/name", "0.2.0")
    assert not re.findall(r"\]\((?!https:)", made) and made.count("https://host/") > 20


def test_the_image_serves_as_another_user_on_the_port_that_it_names(dockerfile, repository_root, project):
    assert dockerfile["USER"] == ["dancer"] and "useradd" in " ".join(dockerfile["RUN"])
    command = build_parser().parse_args(dockerfile["CMD"][1:])
    assert dockerfile["CMD"][0] in project_scripts(project) and command.command == "space" and command.no_browser
    assert (command.host, str(command.port)) == ("0.0.0.0", dockerfile["EXPOSE"][0])
    assert f"127.0.0.1:{command.port}/" in dockerfile["HEALTHCHECK"][-1]
    version = re.match(r"python:(3\.\d+)-slim", dockerfile["FROM"][0])[1]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    ignored = (repository_root / ".dockerignore").read_text().split()
    packages = tomllib.loads((repository_root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    needed = {package.split(".")[1] for package in packages[1:]} | {"README.md", "LICENSE", "constraints.txt"}
    assert not needed & set(ignored) and {"tests", "docs", ".*"} <= set(ignored)


def project_scripts(project: dict) -> list[str]:
    return list(project["scripts"])
