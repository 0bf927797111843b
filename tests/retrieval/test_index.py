import json

import numpy as np
import pytest
import torch

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.library import BuiltFeatures, built_clips
from infinitedance.modeling.music_dance.configuration_music_dance import MusicDanceConfig
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.retrieval import search as retrieval_search
from infinitedance.retrieval.encoding import encoder_fingerprint
from infinitedance.retrieval.index import META_FILE, DanceRetrievalIndex
from infinitedance.retrieval.rows import COLUMNS
from infinitedance.retrieval.windows import LibraryClip, WindowLayout

LAYOUT = WindowLayout()
SIZE = 16


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def make_rows(num_rows: int, num_songs: int, generator: np.random.Generator) -> dict:
    """Random songs with one or two takes; genre, license and source belong to the song."""
    song = generator.integers(num_songs, size=num_rows)
    take = generator.integers(2, size=num_rows)
    start = 192 * np.arange(num_rows)
    return {
        "clip_id": [f"song_{s}_take_{t}" for s, t in zip(song, take, strict=True)],
        "song_id": [f"song_{s}" for s in song],
        "genre": [("waltz", "rumba", "cha-cha")[s % 3] for s in song],
        "source": [("studio", "street")[s % 2] for s in song],
        "license": [("CC0-1.0", "CC-BY-4.0")[s // 2 % 2] for s in song],
        "clip_digest": [""] * num_rows,
        "start_frame": start,
        "start_seconds": start / 30,
    }


def make_index(num_rows: int = 200, num_songs: int = 12, seed: int = 0) -> DanceRetrievalIndex:
    generator = np.random.default_rng(seed)
    embeddings = unit(generator.standard_normal((num_rows, SIZE)))
    return DanceRetrievalIndex.from_embeddings(make_rows(num_rows, num_songs, generator), embeddings, layout=LAYOUT)


def queries(num: int, seed: int = 1) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((num, SIZE)))


@pytest.fixture(scope="module")
def index() -> DanceRetrievalIndex:
    return make_index()


@pytest.fixture(scope="module")
def encoder() -> MusicDanceEncoder:
    torch.manual_seed(0)
    config = MusicDanceConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, embedding_size=SIZE
    )
    return MusicDanceEncoder(config).eval()


def make_dances(lengths=(500, 100, 384, 800)) -> dict[str, np.ndarray]:
    """Dances whose first channel names clip and frame: 1000 * clip + frame."""
    generator = np.random.default_rng(0)
    dances = {}
    for number, length in enumerate(lengths):
        features = generator.standard_normal((length, 269)).astype(np.float32)
        features[:, 0] = 1000 * number + np.arange(length)
        dances[f"clip_{number}"] = features
    return dances


def build(encoder: MusicDanceEncoder, dances: dict[str, np.ndarray]) -> DanceRetrievalIndex:
    clips = [
        LibraryClip(name, f"song_{number}", "waltz", "stage", "CC0-1.0", features)
        for number, (name, features) in enumerate(dances.items())
    ]
    return DanceRetrievalIndex.build(encoder, clips)


@pytest.fixture(scope="module")
def dances() -> dict[str, np.ndarray]:
    return make_dances()


@pytest.fixture(scope="module")
def built(encoder, dances) -> DanceRetrievalIndex:
    return build(encoder, dances)


@pytest.mark.parametrize("rate", [25.0, 30.0, 60.0])
def test_a_query_hears_the_music_of_its_own_seconds(rate, dances):
    torch.manual_seed(0)
    config = MusicDanceConfig(
        music_frame_rate=rate, hidden_size=8, num_attention_heads=2, intermediate_size=8, embedding_size=SIZE
    )
    encoder = MusicDanceEncoder(config).eval()
    heard = []
    encoder.encode_music = lambda windows, mask: heard.append((windows, mask)) or torch.eye(SIZE)[: len(windows)]
    num_frames = round(32 * rate)
    music = np.zeros((num_frames, 109), np.float32)
    music[:, 0] = np.arange(num_frames) / rate  # each frame holds its time
    windows = build(encoder, dances).query(music, 2)
    assert [window.start_seconds for window in windows] == [0.0, 6.4, 12.8, 19.2]
    ((rows, mask),) = heard
    np.testing.assert_allclose(rows[:, 0, 0], [0.0, 6.4, 12.8, 19.2], rtol=1e-6)
    assert mask.sum(dim=1).tolist() == [round(12.8 * rate)] * 4


def test_the_own_song_is_never_returned():
    generator = np.random.default_rng(0)
    checked = 0
    for seed in range(20):
        num_songs = int(generator.integers(3, 30))
        index = make_index(int(generator.integers(40, 400)), num_songs, seed)
        for _ in range(50):
            song = f"song_{generator.integers(num_songs)}"
            options = {}
            if generator.random() < 0.5:
                options["diversity"] = 0.4
            if generator.random() < 0.5:
                options["windows_per_song"] = None
            if generator.random() < 0.5:
                options["source"] = ("studio", "street")
            if generator.random() < 0.5:
                options["max_similarity"] = 1.1  # near duplicates may stay, the song itself may not
            # The worst case: the query is a window of the song itself.
            own = np.flatnonzero(index.columns["song_id"].codes == index.columns["song_id"].code_of.get(song, -1))
            asked = index.searcher.embeddings[own[:3]] if len(own) else queries(3)
            windows = index.query_embeddings(asked, int(generator.integers(1, 12)), exclude_song_id=song, **options)
            assert song not in {hit.song_id for window in windows for hit in window.hits}
            checked += len(windows)
    assert checked > 2000


def test_the_own_song_is_found_unless_it_is_excluded(index):
    window = index.query_embeddings(index.searcher.embeddings[17:18], 1)[0]
    assert window.hits[0].start_frame == 17 * 192 and window.hits[0].score == pytest.approx(1, abs=1e-5)


def test_rank_weights_sum_to_one_with_ten_fifty_fifths_first(index):
    for k in range(1, 11):
        for window in index.query_embeddings(queries(4), k):
            weights = [hit.weight for hit in window.hits]
            assert len(weights) == k and sum(weights) == pytest.approx(1, abs=1e-6)
            assert weights == sorted(weights, reverse=True)
    assert weights == pytest.approx([rank / 55 for rank in range(10, 0, -1)])


@pytest.mark.parametrize("seed", range(5))
def test_hits_are_the_nearest_by_an_obvious_search(seed):
    index = make_index(seed=seed)
    query = queries(1, seed)[0]
    cosines = index.searcher.embeddings @ query
    songs = [index.columns["song_id"][row] for row in range(len(index))]
    genres = [index.columns["genre"][row] for row in range(len(index))]
    expected, seen = [], set()
    for row in np.argsort(-cosines):
        if genres[row] == "waltz" and songs[row] not in seen:
            expected.append(int(row))
            seen.add(songs[row])
    (window,) = index.query_embeddings(query[None], 4, genre="waltz", max_similarity=1.0)
    assert [hit.start_frame // 192 for hit in window.hits] == expected[:4]
    assert [hit.score for hit in window.hits] == pytest.approx([cosines[row] for row in expected[:4]], abs=1e-5)


def test_filters_keep_what_they_name(index):
    for name, wanted in (("genre", "rumba"), ("license", "CC0-1.0"), ("source", ["street"])):
        for window in index.query_embeddings(queries(5), 5, windows_per_song=None, **{name: wanted}):
            assert {getattr(hit, name) for hit in window.hits} <= (
                {wanted} if isinstance(wanted, str) else set(wanted)
            )
    both = index.query_embeddings(queries(5), 5, genre="waltz", source="street", windows_per_song=None)
    assert {(hit.genre, hit.source) for window in both for hit in window.hits} == {("waltz", "street")}


def test_near_duplicates_are_left_out():
    generator = np.random.default_rng(3)
    vectors = unit(generator.standard_normal((6, SIZE)))
    copies = unit(vectors[:3] + 0.003 * generator.standard_normal((3, SIZE)))  # other uploads of the first three
    rows = make_rows(9, 1, generator) | {"song_id": [f"song_{row}" for row in range(9)]}
    rows["clip_id"] = [f"clip_{row}" for row in range(9)]
    index = DanceRetrievalIndex.from_embeddings(rows, np.concatenate([vectors, copies]), layout=LAYOUT)

    def clips(**options) -> set[int]:
        (window,) = index.query_embeddings(vectors[:1], 9, **options)
        return {int(hit.clip_id.split("_")[1]) for hit in window.hits}

    assert clips(max_similarity=1.1) == set(range(9))
    for original, copy in ((0, 6), (1, 7), (2, 8)):
        assert len(clips() & {original, copy}) == 1
    # A dance to the excluded song and its double under another name both stay away.
    assert clips(exclude_song_id="song_0").isdisjoint({0, 6})


def test_at_most_so_many_windows_of_one_song(index):
    for limit in (1, 2):
        for window in index.query_embeddings(queries(6), 10, windows_per_song=limit):
            songs = [hit.song_id for hit in window.hits]
            assert max(songs.count(song) for song in songs) <= limit


def test_maximal_marginal_relevance_equals_its_definition_and_spreads_the_references(index):
    (query,) = queries(1)
    share = 0.5
    (window,) = index.query_embeddings(
        query[None], 5, diversity=share, windows_per_song=None, max_similarity=1.1, genre="waltz"
    )
    vectors = index.searcher.embeddings
    allowed = np.flatnonzero(index.columns["genre"].matches("waltz"))
    pool = allowed[np.argsort(-(vectors[allowed] @ query))][:40]  # eight candidates for each hit
    chosen = [pool[0]]
    while len(chosen) < 5:
        gain = [
            (1 - share) * vectors[row] @ query - share * max(vectors[row] @ vectors[other] for other in chosen)
            if row not in chosen
            else -9
            for row in pool
        ]
        chosen.append(pool[int(np.argmax(gain))])
    assert [hit.start_frame // 192 for hit in window.hits] == chosen
    (plain,) = index.query_embeddings(query[None], 5, windows_per_song=None, max_similarity=1.1, genre="waltz")

    def likeness(hits) -> float:
        rows = vectors[[hit.start_frame // 192 for hit in hits]]
        return (rows @ rows.T)[np.triu_indices(5, 1)].mean()

    assert likeness(window.hits) < likeness(plain.hits)


def test_a_pinned_clip_comes_first_with_its_best_window_in_every_window(index):
    asked = queries(4)
    windows = index.query_embeddings(asked, 3, pinned=["song_4_take_1"], genre="waltz", exclude_song_id="song_0")
    rows = np.flatnonzero(index.columns["clip_id"].matches("song_4_take_1"))
    for window, query in zip(windows, asked, strict=True):
        assert [hit.pinned for hit in window.hits] == [True, False, False]
        assert window.hits[0].start_frame // 192 == rows[np.argmax(index.searcher.embeddings[rows] @ query)]
        assert window.hits[0].genre == "rumba" and {hit.genre for hit in window.hits[1:]} == {"waltz"}


def test_all_windows_have_the_same_number_of_references():
    index = make_index(30, 3)
    counts = {len(window.hits) for window in index.query_embeddings(queries(20), 10, max_similarity=0.5)}
    assert len(counts) == 1 and 1 <= counts.pop() <= 3


def test_references_stand_at_their_true_time(built, dances):
    windows = built.query(np.random.default_rng(0).standard_normal((1000, 109)), 3, max_similarity=1.1)
    assert [window.start_seconds for window in windows] == [0.0, 6.4, 12.8, 19.2, 25.6]
    references = built.open_library(dances).reference_features(windows, 1000)
    assert references.shape == (3, 1000, 269)
    for window in windows:
        end = 1000 if window.end_used_frame is None else window.end_used_frame
        for rank, hit in enumerate(window.hits):
            clip = dances[hit.clip_id]
            frames = np.arange(window.first_used_frame, end)
            expected = clip[(hit.start_frame + frames - window.start_frame) % len(clip)]
            np.testing.assert_array_equal(references[rank, frames], expected)
    part = built.open_library(dances).reference_features(windows, 300, start_frame=450)
    np.testing.assert_array_equal(part, references[:, 450:750])


def test_the_rows_of_a_built_index_name_every_window(built, dances):
    expected = [(name, start) for name, clip in dances.items() for start in LAYOUT.clip_starts(len(clip))]
    rows = built.dataset.to_dict()
    assert list(zip(rows["clip_id"], rows["start_frame"], strict=True)) == expected
    assert rows["start_seconds"] == [start / 30 for _, start in expected]
    assert set(rows["license"]) == {"CC0-1.0"} and set(rows) == {*COLUMNS, "embedding"}


def test_a_short_clip_has_the_embedding_of_its_frames_alone(built, dances, encoder):
    row = built.dataset["clip_id"][:].index("clip_1")
    with torch.no_grad():
        alone = encoder.encode_motion(torch.from_numpy(dances["clip_1"])[None])[0]
    np.testing.assert_allclose(built.searcher.embeddings[row], alone.numpy(), atol=1e-5)


@pytest.fixture
def data(dances, tmp_path, write_built) -> BuiltDataset:
    """A data set of the dances; the first has a mirrored copy, the third no music, and the last is held out."""
    clip_ids = ["clip_0", "clip_0_mirror", "clip_1", "clip_2", "clip_3"]
    fields = {clip_id: {"music_file": "song.npy"} for clip_id in clip_ids if clip_id != "clip_2"}
    fields["clip_3"]["split"] = "test"
    folder = write_built(tmp_path, {clip_id: dances[clip_id.removesuffix("_mirror")] for clip_id in clip_ids}, fields)
    return BuiltDataset(folder)


def test_an_index_of_a_built_data_set_reads_its_references_there(data, encoder):
    index = DanceRetrievalIndex.build(encoder, built_clips(data))
    assert index.dataset["clip_id"][:] == ["clip_0", "clip_0", "clip_1"]  # no mirrored copy, no music, no test clip
    windows = index.query_embeddings(queries(1), 2, max_similarity=1.1)
    references = index.open_library(BuiltFeatures(data)).reference_features(windows, 100)
    clip = next(clip for clip in data.clips if clip.clip_id == windows[0].hits[0].clip_id)
    first = np.asarray(data.motion_features(clip))
    frames = windows[0].hits[0].start_frame + np.arange(100)
    np.testing.assert_array_equal(references[0], np.take(first, frames, axis=0, mode="wrap"))


def test_a_saved_index_answers_as_before(built, encoder, tmp_path):
    built.save(tmp_path / "index")
    loaded = DanceRetrievalIndex.load(tmp_path / "index", encoder)
    music = np.random.default_rng(0).standard_normal((700, 109))
    assert loaded.query(music, 3) == built.query(music, 3)
    assert len(loaded) == len(built) and loaded.layout == built.layout
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / META_FILE).read_text() == (tmp_path / "index" / META_FILE).read_text()
    json.dumps(built.query(music, 3)[0].to_dict())


def test_an_encoder_saved_in_half_precision_still_fits(built, encoder, tmp_path):
    built.save(tmp_path / "index")
    half = MusicDanceEncoder(encoder.config)
    half.load_state_dict(encoder.state_dict())
    half.half().save_pretrained(tmp_path / "half")
    loaded = MusicDanceEncoder.from_pretrained(tmp_path / "half", dtype=torch.float32)
    assert encoder_fingerprint(loaded) == encoder_fingerprint(encoder)
    DanceRetrievalIndex.load(tmp_path / "index", loaded)


def test_another_encoder_is_refused(built, encoder, tmp_path):
    built.save(tmp_path / "index")
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="built with another encoder"):
        DanceRetrievalIndex.load(tmp_path / "index", MusicDanceEncoder(encoder.config))


def test_other_dances_are_refused(built, dances, encoder, tmp_path):
    windows = built.query(np.zeros((400, 109)), 3, max_similarity=1.1)
    changed = {name: clip + np.float32(1e-3) for name, clip in dances.items()}
    with pytest.raises(ValueError, match="not those that the index was built from"):
        built.open_library(changed).reference_features(windows, 10)
    with pytest.raises(KeyError, match="has no clip"):
        built.open_library({}).reference_features(windows, 10)
    assert build(encoder, changed).data_fingerprint != built.data_fingerprint


def test_parts_of_another_index_are_refused(built, encoder, tmp_path):
    built.save(tmp_path / "index")
    build(encoder, make_dances((384, 400, 500))).save(tmp_path / "other")
    faiss_file = tmp_path / "index" / "embedding.faiss"
    kept = faiss_file.read_bytes()
    faiss_file.write_bytes((tmp_path / "other" / "embedding.faiss").read_bytes())
    with pytest.raises(ValueError, match="not the file that was saved"):
        DanceRetrievalIndex.load(tmp_path / "index")
    faiss_file.write_bytes(kept)
    meta = json.loads((tmp_path / "index" / META_FILE).read_text())
    for name, value, message in (
        ("data_sha256", "0", "not those that were saved"),
        ("format_version", 9, "of format"),
    ):
        (tmp_path / "index" / META_FILE).write_text(json.dumps(meta | {name: value}))
        with pytest.raises(ValueError, match=message):
            DanceRetrievalIndex.load(tmp_path / "index")


def test_a_large_library_is_searched_by_lists_and_filters_still_hold(monkeypatch):
    monkeypatch.setattr(retrieval_search, "EXACT_BELOW", 1000)
    monkeypatch.setattr(retrieval_search, "SUBSET_BELOW", 100)
    generator = np.random.default_rng(0)
    centers = unit(generator.standard_normal((40, SIZE)))
    embeddings = unit(centers[generator.integers(40, size=6000)] + 0.3 * generator.standard_normal((6000, SIZE)))
    index = DanceRetrievalIndex.from_embeddings(make_rows(6000, 600, generator), embeddings, layout=LAYOUT)
    assert type(index.searcher.faiss_index).__name__ == "IndexIVFFlat"
    asked = embeddings[:50]
    for name, wanted in ((None, None), ("genre", "rumba"), ("song_id", "song_3")):
        allowed = None if name is None else index.columns[name].matches(wanted)
        count = 10 if allowed is None else min(10, int(allowed.sum()))
        _, rows = index.searcher.nearest(asked, count, allowed)
        assert allowed is None or allowed[rows].all()
        cosines = asked @ embeddings.T
        if allowed is not None:
            cosines[:, ~allowed] = -np.inf
        best = np.argsort(-cosines, axis=1)[:, :count]
        recall = np.mean([len(np.intersect1d(*pair)) / count for pair in zip(rows, best, strict=True)])
        assert recall > 0.9
    # More is wanted than the nearest lists hold: the search goes on until it has it.
    (window,) = index.query_embeddings(asked[:1], 300, max_similarity=1.1)
    assert len(window.hits) == 300


def test_the_number_of_threads_is_as_before_after_a_search(index):
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        index.query_embeddings(queries(2), 1)
        with pytest.raises(AssertionError):
            index.searcher.nearest(np.zeros((1, SIZE + 1), np.float32), 1, None)
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


def test_the_same_data_give_the_same_index_of_lists():
    vectors = unit(np.random.default_rng(0).standard_normal((100_000, 4)))
    one, other = (retrieval_search.build_faiss_index(vectors) for _ in range(2))
    assert one.is_trained and one.nlist == other.nlist == 256
    np.testing.assert_array_equal(one.quantizer.reconstruct_n(0, 256), other.quantizer.reconstruct_n(0, 256))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: index.query(np.zeros((100, 109))), "needs the encoder"),
        (lambda index: index.query_embeddings(np.zeros((1, 3))), "must have shape"),
        (lambda index: index.query_embeddings(np.zeros((0, SIZE))), "must have shape"),
        (lambda index: index.query_embeddings(queries(1), 0), "at least 1"),
        (lambda index: index.query_embeddings(queries(1), diversity=1.0), "must lie in"),
        (lambda index: index.query_embeddings(queries(1), genre="tango"), "'cha-cha', 'rumba', 'waltz'"),
        (lambda index: index.query_embeddings(queries(1), license=[]), "must be some of those"),
        (lambda index: index.query_embeddings(queries(1), pinned=["nobody"]), "must name clips of the library"),
        (lambda index: index.query_embeddings(queries(1), 1, pinned=["song_1_take_0"] * 2), "number of `pinned`"),
        (
            lambda index: index.query_embeddings(queries(1), pinned=["song_1_take_0"], exclude_song_id="song_1"),
            "danced to the excluded song",
        ),
        (
            lambda index: index.query_embeddings(queries(1), max_similarity=-1.1, exclude_song_id="song_1"),
            "No dance of the library remains",
        ),
        (lambda index: index.open_library({}).reference_features([], 10), "need windows"),
        (lambda index: DanceRetrievalIndex.load("nowhere"), "no retrieval index"),
        (lambda index: DanceRetrievalIndex.from_embeddings({}, np.zeros((1, 2)), layout=LAYOUT), "columns"),
        (
            lambda index: DanceRetrievalIndex.from_embeddings(
                make_rows(2, 1, np.random.default_rng(0)), np.ones((2, 2)), layout=LAYOUT
            ),
            "of length 1",
        ),
    ],
)
def test_wrong_use_is_refused(index, call, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        call(index)


def test_building_from_nothing_twice_the_same_or_over_files_is_refused(encoder, built, tmp_path):
    with pytest.raises(ValueError, match="at least one dance"):
        DanceRetrievalIndex.build(encoder, [])
    clip = LibraryClip("a", "a", "waltz", "", "", np.zeros((10, 269), np.float32))
    with pytest.raises(ValueError, match="'a' twice"):
        DanceRetrievalIndex.build(encoder, [clip, clip])
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="new or empty"):
        built.save(tmp_path)
    with pytest.raises(ValueError, match="those of one song"):
        built.query(np.zeros((10, 5)))
