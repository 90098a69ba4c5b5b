//! The keyword index from outside: what is found, what is filtered, what is gone, and what survives.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use hearth_core::{ChunkId, DocumentId, ItemId, Moment, SessionId};
use hearth_search::{
    ChunkDoc, Files, Filter, Hit, Keyword, NewFile, OpenFile, Weights, files::Memory, keyword::KeywordError,
};
use proptest::{collection::vec, prelude::*};

fn chunk(n: u8) -> ChunkId {
    ChunkId::from_bytes([n; 16])
}

/// A chunk of this number and text; item and document have the number of its tens.
fn doc(n: u8, text: &str) -> ChunkDoc<'_> {
    ChunkDoc {
        chunk: chunk(n),
        item: ItemId::from_bytes([n / 10; 16]),
        document: DocumentId::from_bytes([n / 10; 16]),
        session: SessionId::from_bytes([n / 20; 16]),
        text,
        title: "",
        path: "",
        source: if n.is_multiple_of(2) { "files" } else { "history" },
        kind: if n < 20 { "plain" } else { "markdown" },
        modified: Moment::from_millis(u64::from(n) * 1000),
    }
}

fn index(docs: &[ChunkDoc<'_>]) -> (Memory, Keyword) {
    let files = Memory::default();
    let mut keyword = Keyword::open(Arc::new(files.clone())).expect("memory holds a new index");
    for doc in docs {
        keyword.add(doc).expect("memory takes it");
    }
    keyword.commit(1).expect("memory takes it");
    (files, keyword)
}

fn found(keyword: &Keyword, question: &str) -> Vec<u8> {
    found_by(keyword, question, &Filter::default())
}

fn found_by(keyword: &Keyword, question: &str, filter: &Filter<'_>) -> Vec<u8> {
    let hits = keyword.reader().search(question, 10, filter).expect("memory can be read");
    hits.iter().map(|hit| hit.chunk.as_bytes()[0]).collect()
}

#[test]
fn what_was_written_is_found_as_it_is_asked_for() {
    let rows: [(u8, &str, &str); 20] = [
        (1, "The passport renewal form needs two photographs.", "passport"),
        (2, "Crème brûlée with vanilla", "creme BRULEE"),
        (3, "libraries were opened", "library opening"),
        (4, "fn read_config_file(path)", "read_config_file"),
        (5, "class HttpRequestParser", "request parser"),
        (6, "我们讨论中文分词的问题", "中文分词"),
        (7, "今日は良い天気ですね", "天気"),
        (8, "서울에서 만나요", "서울"),
        (9, "ภาษาไทยง่ายมาก", "ภาษาไทย"),
        (10, "Встреча с бухгалтером во вторник", "бухгалтером"),
        (11, "Ο Σίσυφος έσπρωχνε", "ΣΊΣΥΦΟΣ"),
        (12, "deployed v2.14.3 to production", "v2.14.3"),
        (13, "error E0599 in build", "E0599"),
        (14, "mail from alice@example.org", "alice@example.org"),
        (15, "Größe der Straße", "strasse"),
        (16, "the 猫が好き sat", "好"),
        (17, "ｶﾀｶﾅ text", "カタカナ"),
        (18, "see /etc/systemd/system for units", "systemd"),
        (19, "don't forget Zoë's birthday", "Zoe birthday"),
        (20, "SELECT * FROM user_accounts WHERE id = 7", "user_accounts"),
    ];
    let docs: Vec<_> = rows.iter().map(|(n, text, _)| doc(*n, text)).collect();
    let (_, keyword) = index(&docs);
    for (n, text, question) in rows {
        assert_eq!(found(&keyword, question).first(), Some(&n), "{question:?} finds {text:?}");
    }
}

#[test]
fn a_search_goes_on_while_files_are_merged_and_removed() {
    let (_, mut keyword) = index(&[doc(1, "a heron in the reeds")]);
    let reader = keyword.reader();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let searching = scope.spawn(|| {
            let mut searches = 0_u32;
            while !done.load(Relaxed) || searches < 10 {
                let hits =
                    reader.search("heron \"the reeds\"", 10, &Filter::default()).expect("it can always be searched");
                assert!(hits.iter().any(|hit| hit.chunk == chunk(1)));
                searches += 1;
            }
        });
        for round in 0..60_u64 {
            let n = 10 + u8::try_from(round % 200).expect("below 200");
            keyword.add(&doc(n, "herons and other birds")).expect("memory takes it");
            keyword.commit(round + 2).expect("memory takes it");
            if round % 3 == 0 {
                keyword.delete_item(ItemId::from_bytes([n / 10; 16])).expect("memory takes it");
                keyword.commit(round + 2).expect("memory takes it");
                keyword.purge().expect("memory takes it");
            }
        }
        done.store(true, Relaxed);
        searching.join().expect("every search succeeded");
    });
}

#[test]
fn phrases_and_exclusions_are_obeyed() {
    let (_, keyword) = index(&[
        doc(1, "the due date is in May"),
        doc(2, "the date is due in May"),
        doc(3, "oat milk and bread"),
        doc(4, "fresh milk and bread"),
        doc(5, "中文分词 is hard"),
        doc(6, "分词 then 中文"),
        doc(7, "set log_level to debug"),
        ChunkDoc { title: "Garden Tools › Spades", ..doc(8, "sharpen once a year") },
    ]);
    for (case, question, expected) in [
        ("a phrase", "\"due date\"", &[1][..]),
        ("a phrase in another order", "\"date is due\"", &[2]),
        ("a word to leave out", "milk -oat", &[4]),
        ("a form of a word to leave out", "bread -oats", &[4]),
        ("a phrase in a title", "\"garden tools\"", &[8]),
        ("a phrase to leave out", "bread -\"oat milk\"", &[4]),
        ("a phrase without spaces", "\"中文分词\"", &[5]),
        ("a phrase through an identifier", "\"set log level\"", &[7]),
        ("an identifier as a phrase", "\"log_level\"", &[7]),
        ("only exclusions find nothing", "-milk", &[]),
        ("nothing", "", &[]),
        ("no words", "?!", &[]),
        ("brackets and stars are no language", "title:(milk* AND [oat TO ~", &[3]),
    ] {
        let mut hits = found(&keyword, question);
        hits.truncate(expected.len().max(1));
        assert_eq!(hits, expected, "{case}");
    }
}

#[test]
fn a_misspelt_word_is_found_when_little_else_is() {
    let (_, keyword) =
        index(&[doc(1, "retrieval of embeddings"), doc(2, "passport"), doc(3, "cat"), doc(4, "embedding")]);
    for (case, question, expected) in [
        ("one letter wrong", "pasport", Some(2)),
        ("two letters swapped", "passprot", Some(2)),
        ("two wrong in a long word", "retreivla", Some(1)),
        ("a short word is taken as it is", "cst", None),
        ("two wrong in a middling word", "psaspotr", None),
    ] {
        assert_eq!(found(&keyword, question).first().copied(), expected, "{case}");
    }
    let (_, keyword) =
        index(&(0..30).map(|n| doc(n, if n == 7 { "common passport" } else { "common" })).collect::<Vec<_>>());
    assert_eq!(found(&keyword, "common pasport").first(), Some(&7), "an unknown word is loose even among many hits");
}

#[test]
fn titles_and_paths_are_found_and_the_text_counts_most() {
    let in_title = ChunkDoc { title: "Garden › Compost", ..doc(1, "turn it twice a month") };
    let in_path = ChunkDoc { path: "notes/compost.md", ..doc(2, "turn it twice a month") };
    let (_, keyword) = index(&[in_title, in_path, doc(3, "the compost heap and more compost")]);
    assert_eq!(found(&keyword, "compost").len(), 3);
    assert_eq!(found(&keyword, "compost")[0], 3, "the text counts most");
    assert_eq!(found(&keyword, "notes"), [2]);
}

#[test]
fn filters_let_through_what_they_name() {
    let docs: Vec<_> = (0..40).map(|n| doc(n, "same words")).collect();
    let (_, keyword) = index(&docs);
    let all = |filter: Filter<'_>| {
        let hits = keyword.reader().search("same words", 100, &filter).expect("memory can be read");
        hits.iter().map(|hit| hit.chunk.as_bytes()[0]).collect::<Vec<u8>>()
    };
    let expect = |keep: &dyn Fn(u8) -> bool| (0..40).filter(|n| keep(*n)).collect::<Vec<u8>>();
    assert_eq!(all(Filter::default()), expect(&|_| true), "equals are in the order of their ids");
    assert_eq!(all(Filter { sources: vec!["files".into()], ..Filter::default() }), expect(&|n| n % 2 == 0));
    assert_eq!(
        all(Filter { kinds: vec!["markdown".into(), "html".into()], ..Filter::default() }),
        expect(&|n| n >= 20)
    );
    assert_eq!(
        all(Filter { sessions: vec![SessionId::from_bytes([1; 16])], ..Filter::default() }),
        expect(&|n| n >= 20)
    );
    assert_eq!(all(Filter { items: vec![ItemId::from_bytes([3; 16])], ..Filter::default() }), expect(&|n| n >= 30));
    assert_eq!(all(Filter { since: Some(Moment::from_millis(7000)), ..Filter::default() }), expect(&|n| n >= 7));
    let window =
        Filter { since: Some(Moment::from_millis(7000)), until: Some(Moment::from_millis(9000)), ..Filter::default() };
    assert_eq!(all(window), [7, 8, 9]);
    assert_eq!(all(Filter { allow: Some(&|id| id == chunk(12)), ..Filter::default() }), [12]);
    let both = Filter { sources: vec!["files".into()], allow: Some(&|id| id < chunk(5)), ..Filter::default() };
    assert_eq!(all(both), [0, 2, 4]);
}

#[test]
fn a_chunk_of_two_items_is_found_once_and_goes_with_the_last() {
    let other = ChunkDoc { item: ItemId::from_bytes([9; 16]), ..doc(1, "shared words") };
    let (_, mut keyword) = index(&[doc(1, "shared words"), other, doc(2, "shared words")]);
    assert_eq!(found(&keyword, "shared"), [1, 2]);
    keyword.delete_item(ItemId::from_bytes([9; 16])).expect("memory takes it");
    keyword.commit(2).expect("memory takes it");
    assert_eq!(found(&keyword, "shared"), [1, 2], "it is still part of the other item");
    keyword.delete_chunk(chunk(1)).expect("memory takes it");
    keyword.commit(3).expect("memory takes it");
    assert_eq!(found(&keyword, "shared"), [2]);
}

#[test]
fn nothing_is_seen_before_its_commit_and_all_of_it_after() {
    let (_, mut keyword) = index(&[doc(1, "first")]);
    let reader = keyword.reader();
    keyword.add(&doc(2, "first again")).expect("memory takes it");
    assert_eq!(reader.len(), 1);
    keyword.commit(2).expect("memory takes it");
    assert_eq!(reader.len(), 2, "a reader made before sees it too");
}

#[test]
fn what_is_purged_is_in_no_file() {
    let segments = |files: &Memory| -> BTreeSet<String> {
        let names = files.list().expect("memory can be listed");
        names.into_iter().filter(|name| !name.ends_with(".json")).collect()
    };
    let (files, mut keyword) = index(&[doc(1, "zanzibarium words"), doc(12, "harmless words")]);
    keyword.add(&doc(25, "words of another commit")).expect("memory takes it");
    let first = segments(&files);
    keyword.commit(2).expect("memory takes it");
    let second: BTreeSet<_> = segments(&files).difference(&first).cloned().collect();
    assert!(!first.is_empty() && !second.is_empty());
    keyword.delete_document(DocumentId::from_bytes([0; 16])).expect("memory takes it");
    keyword.commit(3).expect("memory takes it");
    assert!(first.is_subset(&segments(&files)), "a deleted chunk lies in the files until it is purged");
    keyword.purge().expect("memory takes it");
    assert!(first.is_disjoint(&segments(&files)), "the files that held it are gone");
    assert!(second.is_subset(&segments(&files)), "files that held nothing deleted are left alone");
    assert_eq!((found(&keyword, "words"), keyword.cursor()), (vec![12, 25], Some(3)));

    keyword.delete_item(ItemId::from_bytes([2; 16])).expect("memory takes it");
    keyword.delete_item(ItemId::from_bytes([1; 16])).expect("memory takes it");
    keyword.commit(4).expect("memory takes it");
    keyword.purge().expect("memory takes it");
    assert_eq!(segments(&files), BTreeSet::new(), "with the last chunk the last file goes");
    keyword.add(&doc(5, "life goes on")).expect("memory takes it");
    keyword.commit(5).expect("memory takes it");
    assert_eq!(found(&keyword, "life"), [5]);
}

#[test]
fn an_index_opened_again_is_at_its_last_commit() {
    let (files, mut keyword) = index(&[doc(1, "kept")]);
    keyword.commit(41).expect("memory takes it");
    keyword.add(&doc(2, "kept not")).expect("memory takes it");
    drop(keyword); // as if the power failed
    let keyword = Keyword::open(Arc::new(files.clone())).expect("the last commit is whole");
    assert_eq!((keyword.cursor(), found(&keyword, "kept")), (Some(41), vec![1]));
    assert_eq!(Keyword::open(Arc::new(Memory::default())).expect("memory holds a new index").cursor(), None);
}

#[test]
fn an_idle_index_has_no_writer_and_takes_up_work_again() {
    let (_, mut keyword) = index(&[doc(1, "one")]);
    keyword.rest().expect("nothing is left to do");
    keyword.add(&doc(2, "two")).expect("memory takes it");
    keyword.commit(2).expect("memory takes it");
    assert_eq!(found(&keyword, "two"), [2]);
}

#[test]
fn a_damaged_or_other_index_says_what_to_do() {
    let (files, keyword) = index(&[doc(1, "one")]);
    drop(keyword);
    let meta = String::from_utf8(files.atomic_read("meta.json").expect("every index has one")).expect("it is JSON");
    for (case, content, wanted) in [
        ("cut short", meta[..meta.len() / 2].to_owned(), "state rebuild"),
        ("not JSON", "hello".to_owned(), "state rebuild"),
        ("another layout", meta.replace("\"1 1\"", "\"99 1\""), "layout 99"),
        ("no position", meta.replace("\"1 1\"", "\"one\""), "state rebuild"),
    ] {
        files.atomic_write("meta.json", content.as_bytes()).expect("memory takes it");
        let error = Keyword::open(Arc::new(files.clone())).expect_err(case);
        assert!(error.to_string().contains(wanted), "{case}: {error}");
    }
    files.atomic_write("meta.json", meta.as_bytes()).expect("memory takes it");
    let names = files.list().expect("memory can be listed");
    for name in names.iter().filter(|name| !name.starts_with('.') && *name != "meta.json") {
        let whole = files.atomic_read(name).expect("it was listed");
        files.atomic_write(name, &whole[..whole.len() / 2]).expect("memory takes it");
        if let Ok(keyword) = Keyword::open(Arc::new(files.clone())) {
            let _ = keyword.reader().search("one", 10, &Filter::default()); // may fail, must not panic
        }
        files.delete(name).expect("it was listed");
        if let Ok(keyword) = Keyword::open(Arc::new(files.clone())) {
            let _ = keyword.reader().search("one", 10, &Filter::default());
        }
        files.atomic_write(name, &whole).expect("memory takes it");
    }
}

/// Memory whose disk can be full.
#[derive(Debug, Default)]
struct Full {
    files: Memory,
    full: AtomicBool,
}

impl Full {
    fn check(&self) -> io::Result<()> {
        if self.full.load(Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Files for Full {
    fn open(&self, name: &str) -> io::Result<Arc<dyn OpenFile>> {
        self.files.open(name)
    }
    fn write_new(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        self.check().and_then(|()| self.files.write_new(name))
    }
    fn atomic_read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files.atomic_read(name)
    }
    fn atomic_write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.check().and_then(|()| self.files.atomic_write(name, content))
    }
    fn delete(&self, name: &str) -> io::Result<()> {
        self.files.delete(name)
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.files.exists(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }
    fn sync(&self) -> io::Result<()> {
        self.files.sync()
    }
}

#[test]
fn a_full_disk_is_said_and_the_last_commit_stays() {
    let files = Arc::new(Full::default());
    let mut keyword = Keyword::open(Arc::clone(&files) as Arc<dyn Files>).expect("memory holds a new index");
    keyword.add(&doc(1, "before")).and_then(|()| keyword.commit(1)).expect("there is room");
    files.full.store(true, Relaxed);
    let error = keyword.add(&doc(2, "during")).and_then(|()| keyword.commit(2)).expect_err("there is no room");
    assert!(matches!(error, KeywordError::Write(_)) && error.to_string().contains("disk"));
    assert_eq!((keyword.cursor(), found(&keyword, "before")), (Some(1), vec![1]));
    files.full.store(false, Relaxed);
    keyword.add(&doc(3, "after")).and_then(|()| keyword.commit(3)).expect("there is room again");
    assert_eq!(found(&keyword, "after"), [3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_question_has_an_answer(question in any::<String>()) {
        let (_, keyword) = index(&[doc(1, "some words to find"), doc(2, "中文 text")]);
        found(&keyword, &question);
    }

    #[test]
    fn it_holds_what_a_set_would_hold(steps in vec((0_u8..30, any::<bool>(), any::<bool>()), 1..25)) {
        let (_, mut keyword) = index(&[]);
        let mut twin = BTreeSet::new();
        for (cursor, (n, add, commit)) in (2..).zip(steps) {
            keyword.delete_chunk(chunk(n)).expect("memory takes it");
            twin.remove(&n);
            if add {
                keyword.add(&doc(n, "common words")).expect("memory takes it");
                twin.insert(n);
            }
            if commit {
                keyword.commit(cursor).expect("memory takes it");
            }
        }
        keyword.commit(99).expect("memory takes it");
        let hits = keyword.reader().search("common", 100, &Filter::default()).expect("memory can be read");
        let found: Vec<u8> = hits.iter().map(|hit| hit.chunk.as_bytes()[0]).collect();
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), twin);
    }
}

/// Texts of a small vocabulary, so that words repeat.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let word = prop::sample::select(vec![
        "passport",
        "renewal",
        "photograph",
        "kitchen",
        "boiler",
        "invoice",
        "garden",
        "tax",
    ]);
    vec(vec(word, 1..12).prop_map(|words| words.join(" ")), 2..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn two_collections_weighed_together_rank_as_one(texts in texts(), split in 0_usize..30) {
        let docs: Vec<ChunkDoc<'_>> =
            texts.iter().enumerate().map(|(n, text)| doc(u8::try_from(n).expect("few"), text)).collect();
        let (one, other) = docs.split_at(split.min(docs.len()));
        let ((_, all), (_, one), (_, other)) = (index(&docs), index(one), index(other));
        for question in ["passport renewal", "kitchen boiler invoice", "tax", "gardn", "\"passport renewal\"", "nothing"] {
            let mut weights = one.reader().weigh(question, None).expect("memory can be read");
            weights.add(&other.reader().weigh(question, None).expect("memory can be read"));
            let search = |keyword: &Keyword| {
                keyword.reader().search_among(question, 30, &Filter::default(), &weights).expect("memory can be read")
            };
            let by_chunk = |hits: Vec<Hit>| -> BTreeMap<ChunkId, f32> {
                hits.into_iter().map(|hit| (hit.chunk, hit.score)).collect()
            };
            let together = by_chunk(search(&one).into_iter().chain(search(&other)).collect());
            let whole = by_chunk(all.reader().search(question, 30, &Filter::default()).expect("memory can be read"));
            prop_assert!(together.keys().eq(whole.keys()), "{}", question);
            // Sums of floats differ in their last bits by the order in which they are made.
            for ((chunk, together), whole) in together.iter().zip(whole.values()) {
                prop_assert!((together - whole).abs() < 1e-4, "{question}: {chunk} {together} {whole}");
            }
        }
    }
}

#[test]
fn a_session_of_a_collection_is_weighed_by_itself() {
    let (_, mixed) =
        index(&[doc(1, "passport renewal"), doc(2, "passport"), doc(21, "boiler passport"), doc(22, "boiler")]);
    let (_, alone) = index(&[doc(21, "boiler passport"), doc(22, "boiler")]);
    let sessions = [SessionId::from_bytes([1; 16])];
    let weigh =
        |keyword: &Keyword, sessions| keyword.reader().weigh("passport boiler", sessions).expect("memory can be read");
    let (some, whole) = (weigh(&mixed, Some(&sessions)), weigh(&alone, None));
    assert_eq!((some.passages, some.fitting, &some.found), (whole.passages, whole.fitting, &whole.found));
    assert_eq!(weigh(&mixed, Some(&[])), Weights::default(), "of no session there is nothing");
    assert_eq!(weigh(&mixed, Some(&[SessionId::from_bytes([9; 16])])).passages, 0);
}

#[test]
fn sums_that_make_no_sense_are_borne() {
    let (_, keyword) = index(&[doc(1, "passport renewal"), doc(2, "passport")]);
    let sound = keyword.reader().weigh("passport", None).expect("memory can be read");
    let mut huge = sound.clone();
    huge.words.values_mut().for_each(|words| *words = u64::MAX);
    huge.found.values_mut().flat_map(BTreeMap::values_mut).for_each(|passages| *passages = u64::MAX);
    let mut swollen = huge.clone();
    swollen.add(&huge);
    for (case, weights) in [
        ("nothing", Weights::default()),
        ("more passages with a word than passages", huge),
        ("more than there can be", swollen),
        ("no passages", Weights { passages: 0, ..sound.clone() }),
        ("no words", Weights { words: BTreeMap::new(), found: BTreeMap::new(), ..sound }),
    ] {
        let hits =
            keyword.reader().search_among("passport", 5, &Filter::default(), &weights).expect("memory can be read");
        assert_eq!(hits.len(), 2, "{case}");
    }
}
