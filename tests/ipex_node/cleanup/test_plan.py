"""What may go, as a pure function: tried with inventories of every shape."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipex_node.cleanup.model_name import full_name
from ipex_node.cleanup.plan import File, Generation, Inventory, Item, Model, Plan, ProfileLink, decide
from ipex_node.settings import Cleanup

DAY = 86400
NOW = 1000.0 * DAY
LIMITS = Cleanup(outputs=(), outputs_days=30, staged_days=2, rest_seconds=3600)
PROFILE = "/profiles/ollama-ipex"
SPELLINGS = ["tinyllama", "tinyllama:latest", "TinyLlama", "library/tinyllama", "registry.ollama.ai/library/tinyllama"]

names = st.sampled_from([f"{number:016x}" for number in range(6)])
ages = st.floats(-DAY, 90 * DAY, allow_nan=False)
sizes = st.integers(0, 1 << 40)
paths = st.sampled_from([f"/nix/store/{letter}" for letter in "abcdef"])
closures = st.none() | st.dictionaries(st.sampled_from([PROFILE, "/profiles/comfyui-ipex"]), paths)
found_files = st.lists(st.builds(File, st.uuids().map(str), sizes, ages.map(lambda age: NOW - age)), max_size=5)
found_models = st.lists(
    st.builds(Model, st.sampled_from([*SPELLINGS, "other", "tinyllama:q4"]), sizes, st.just("ollama")),
    max_size=4,
    unique_by=lambda model: model.name,
)


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    """Draw a node's disk: also one whose links lead to generations that are not there."""
    generations = [
        Generation(name, draw(sizes), NOW - draw(ages), draw(closures)) for name in draw(st.sets(names, max_size=6))
    ]
    roles = draw(st.lists(st.tuples(st.sampled_from(["current", "previous", "pinned"]), names), max_size=4))
    links = [
        ProfileLink(f"{profile}-{number}-link", profile, draw(paths), draw(st.booleans()))
        for profile in (PROFILE, "/profiles/comfyui-ipex")
        for number in range(draw(st.integers(0, 4)))
    ]
    return Inventory(
        now=NOW,
        generations=tuple(generations),
        serving=tuple(roles),
        links=tuple(links),
        leftovers=tuple(draw(found_files)),
        outputs=tuple(draw(found_files)),
        models=tuple(draw(found_models)),
        declared=draw(st.sampled_from([{}, {"ollama": ("tinyllama",)}, {"ollama": ("b", "tinyllama:latest")}])),
    )


def _names(items: tuple[Item, ...], kind: str) -> set[str]:
    return {item.name for item in items if item.kind == kind}


def _protected(there: Inventory) -> set[str]:
    young = {one.name for one in there.generations if one.staged > NOW - LIMITS.staged_days * DAY}
    return young | {name for _, name in there.serving}


@given(inventories(), st.lists(st.sampled_from([*SPELLINGS, "other"]), max_size=3))
def test_nothing_that_is_protected_goes(there: Inventory, wanted: list[str]) -> None:
    """No generation that serves, is pinned or is young; nothing it needs; no young file; no declared model."""
    plan = decide(there, LIMITS, wanted)

    assert not _names(plan.goes, "generation") & _protected(there)
    needs = {
        path for one in there.generations if one.name in _protected(there) for path in (one.closures or {}).values()
    }
    going = _names(plan.goes, "profile generation")
    assert not [link for link in there.links if link.path in going and link.target in needs]
    young = {one.path for one in there.outputs if one.modified >= NOW - LIMITS.outputs_days * DAY}
    assert not _names(plan.goes, "output") & young
    assert not _names(plan.goes, "leftover") & {one.path for one in there.leftovers if one.modified >= NOW - 2 * DAY}
    declared = {full_name(name) for names in there.declared.values() for name in names}
    assert not {full_name(name) for name in _names(plan.goes, "model")} & declared
    assert {full_name(name) for name in _names(plan.goes, "model")} <= {full_name(name) for name in wanted}


@given(inventories())
def test_no_file_goes_for_its_age_where_the_clock_is_doubted(there: Inventory) -> None:
    """Neither what people have made nor what a stage has left, and the reason stands beside it."""
    plan = decide(replace(there, doubt="the clock"), LIMITS)

    assert not _names(plan.goes, "output") | _names(plan.goes, "leftover")
    assert {item.why for item in plan.stays if item.kind in {"output", "leftover"}} <= {"the clock"}


@given(inventories())
def test_everything_is_told_once_with_its_bytes(there: Inventory) -> None:
    """What goes and what stays are together all there is, and the bytes add up."""
    plan = decide(there, LIMITS)

    told = (*plan.goes, *plan.stays)
    kinds = (there.generations, there.leftovers, there.outputs, there.models)
    every = [one.bytes for kind in kinds for one in kind]
    assert len({item.key for item in told}) == len(told) == len(every) + len(there.links)
    assert sum(item.bytes for item in told) == sum(every)
    assert all(item.why for item in told)


@given(inventories())
def test_what_is_not_known_is_kept(there: Inventory) -> None:
    """While a generation that must be able to serve cannot be read, no profile loses a generation."""
    broken = tuple(replace(one, closures=None) for one in there.generations)

    plan = decide(replace(there, generations=broken), LIMITS)

    assert not _names(plan.goes, "profile generation")


def _node(*links: ProfileLink, **more: object) -> Plan:
    """Plan for a node that serves one generation, with an older one beside it."""
    old = Generation("b" * 16, 10, NOW - 90 * DAY, {PROFILE: "/nix/store/old"})
    now = Generation("a" * 16, 10, NOW - 90 * DAY, {PROFILE: "/nix/store/new"})
    there = Inventory(NOW, (old, now), (("current", "a" * 16),), links)
    return decide(replace(there, **more), LIMITS)  # type: ignore[arg-type]


def test_an_old_generation_goes_with_its_profiles_generation() -> None:
    """What nothing needs any more does go; the newest link stays."""
    plan = _node(
        ProfileLink("ollama-ipex-1-link", PROFILE, "/nix/store/old", is_shown=False),
        ProfileLink("ollama-ipex-2-link", PROFILE, "/nix/store/new", is_shown=True),
    )

    assert [(item.kind, item.name) for item in plan.goes] == [
        ("generation", "b" * 16),
        ("profile generation", "ollama-ipex-1-link"),
    ]


@pytest.mark.parametrize("role", ["previous", "pinned"])
def test_a_generation_to_go_back_to_stays_with_its_closures(role: str) -> None:
    """The previous and every pinned generation keep their profiles' generations."""
    link = ProfileLink("ollama-ipex-1-link", PROFILE, "/nix/store/old", is_shown=False)

    plan = _node(link, serving=(("current", "a" * 16), (role, "b" * 16)))

    assert not plan.goes
    assert role in {item.why for item in plan.stays}


def test_what_a_profile_shows_stays() -> None:
    """A profile that somebody has switched by hand still leads somewhere."""
    plan = _node(ProfileLink("ollama-ipex-3-link", PROFILE, "/nix/store/by-hand", is_shown=True))

    assert not _names(plan.goes, "profile generation")


def test_a_profile_that_no_kept_generation_has_goes() -> None:
    """A service that is not there any more does not keep its closure for ever."""
    plan = _node(ProfileLink("whisper-1-link", "/profiles/whisper", "/nix/store/whisper", is_shown=True))

    assert _names(plan.goes, "profile generation") == {"whisper-1-link"}


def test_a_node_without_a_current_generation_keeps_its_profiles() -> None:
    """A machine on which no deploy has succeeded yet loses nothing of Nix's."""
    link = ProfileLink("ollama-ipex-1-link", PROFILE, "/nix/store/x", is_shown=False)

    assert not decide(Inventory(NOW, links=(link,)), LIMITS).goes


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("listed", SPELLINGS[:2])
def test_a_declared_model_stays_however_it_is_spelt(spelling: str, listed: str) -> None:
    """Also where it is asked for by name: that is refused with its reason."""
    there = Inventory(NOW, models=(Model(listed, 5, "ollama"),), declared={"ollama": ("other", spelling)})

    plan = decide(there, LIMITS, [spelling])

    assert not plan.goes
    assert plan.stays[0].why == "declared"
    assert [failure.why for failure in plan.refused] == ["is declared for ollama"]


def test_a_model_goes_only_when_it_is_named() -> None:
    """An undeclared model is told of with the command that removes it; a wrong name is a failure."""
    there = Inventory(NOW, models=(Model("llama3:70b", 5, "ollama"),), declared={"ollama": ("tinyllama",)})

    assert decide(there, LIMITS).stays[0].why == "not declared; to remove it: ipex-node cleanup --models llama3:70b"
    assert [item.name for item in decide(there, LIMITS, ["LLAMA3:70B"]).goes] == ["llama3:70b"]
    assert [failure.why for failure in decide(there, LIMITS, ["llama3"]).refused] == [
        "is not there; there are: llama3:70b"
    ]


def test_names_of_models_are_completed_as_ollama_does() -> None:
    """Host, namespace and tag have Ollama's defaults; a port of the host is no tag."""
    assert full_name("hf.co/me/Llama:Q4_K_M") == "hf.co/me/llama:q4_k_m"
    assert full_name("me/llama") == "registry.ollama.ai/me/llama:latest"
    assert full_name("http://localhost:5000/me/llama") == "localhost:5000/me/llama:latest"
