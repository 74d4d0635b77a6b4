"""What `make test` leaves out, and that it leaves out nothing when it cannot tell."""

import subprocess

import pytest

from tests.fixtures.selection import AREAS, EVERY_AREA, NUM_COMMITS, ROOT, areas_of, changed_files


def git(root, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def commit(root, name):
    (root / name).write_text(name)
    git(root, "add", name)
    git(root, "commit", "-m", name)


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-b", "main")
    commit(tmp_path, "first")
    return tmp_path


@pytest.mark.parametrize("path", sorted({*EVERY_AREA, *(p for ps in AREAS.values() for p in ps)}))
def test_every_path_that_runs_an_area_is_there(path):
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize("place", EVERY_AREA)
def test_what_all_tests_stand_on_runs_every_area(place):
    assert areas_of({place + "a.py" if place.endswith("/") else place}) == set(AREAS)


def test_an_area_runs_when_a_file_of_its_folders_changed():
    assert areas_of({"jukebox_core/training/loop.py"}) >= {"learning", "recipe"}
    assert "kernels" in areas_of({"jukebox_core/prior/prior.py"})
    assert areas_of({"api/app.py", "docs/reference/api.md"}) == set()


def test_a_branch_is_compared_with_where_it_left_main(repository):
    git(repository, "checkout", "-b", "work")
    commit(repository, "second")
    assert changed_files(repository, None) == {"second"}


def test_main_itself_is_compared_with_earlier_commits(repository):
    for number in range(NUM_COMMITS):
        commit(repository, f"later-{number}")
    assert changed_files(repository, None) == {f"later-{n}" for n in range(NUM_COMMITS)}


def test_uncommitted_and_untracked_files_and_both_ends_of_a_move_count(repository):
    commit(repository, "second")
    (repository / "ü new").write_text("untracked")
    git(repository, "mv", "second", "moved")
    (repository / "first").write_text("edited")
    assert changed_files(repository, "HEAD") == {"ü new", "second", "moved", "first"}


def test_nothing_is_left_out_when_git_cannot_tell(repository, tmp_path_factory):
    assert changed_files(repository, None) is None  # too few commits to look back on
    assert changed_files(repository, "no-such-commit") is None
    assert changed_files(tmp_path_factory.mktemp("elsewhere"), None) is None


@pytest.fixture
def suite(pytester, monkeypatch):
    """Runs two tests, one of them nightly, in a repository without changes."""
    monkeypatch.setattr("tests.fixtures.selection.ROOT", pytester.path)

    def run(*options, area="kernels"):
        pytester.makepyfile(
            f"""
            import pytest
            @pytest.mark.nightly("{area}")
            def test_slow(): pass
            def test_fast(): pass
            """
        )
        git(pytester.path, "init")
        git(pytester.path, "add", ".")
        git(pytester.path, "commit", "--allow-empty", "-m", "all")
        pytester.makeini("[pytest]\nmarkers = nightly(area): slow")
        plugins = ("-p", "tests.fixtures.selection", "-p", "no:schemathesis")
        return pytester.runpytest_inprocess(*plugins, *options)

    return run


def test_a_nightly_test_of_an_unchanged_area_is_left_out(suite, monkeypatch):
    monkeypatch.setenv("TESTS_SINCE", "HEAD")
    suite("--changed").assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize("since", ["all", "no-such-commit"])
def test_every_test_runs_when_asked_for_or_in_doubt(suite, monkeypatch, since):
    monkeypatch.setenv("TESTS_SINCE", since)
    suite("--changed").assert_outcomes(passed=2)


def test_without_the_option_every_test_runs(suite, monkeypatch):
    monkeypatch.setenv("TESTS_SINCE", "HEAD")
    suite().assert_outcomes(passed=2)


def test_an_area_that_does_not_exist_is_an_error_that_names_those_that_do(suite):
    result = suite(area="kernel")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*nightly('kernel')*areas are *kernels*"])
