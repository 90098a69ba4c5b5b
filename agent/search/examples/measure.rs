//! Measures the search: speed of the encoder, the scan and the keyword index, and quality on a judged collection.
//!
//! `measure speed [LIBRARY]` needs no data. `measure quality FOLDER [LIBRARY]` reads a folder with `docs.jsonl` (`id`,
//! `title`, `text`), `queries.jsonl` (`id`, `text`) and `qrels.tsv` (query, document, grade). The library is an ONNX Runtime.
#![expect(clippy::print_stdout, reason = "figures are what this program is for")]
#![expect(clippy::cast_precision_loss, reason = "figures need no more than a float holds")]

use std::{
    collections::HashMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use hearth_core::{ChunkId, DocumentId, ItemId, Moment, SessionId};
use hearth_search::{
    ChunkDoc, Embedder, Embedding, Filter, Fused, Keyword, Mode, Model, Ranked, Vectors, chunk, files::Memory, fuse,
    vector::DIMS,
};
use hearth_text::Redacted;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match args.iter().map(PathBuf::as_path).collect::<Vec<_>>().as_slice() {
        [what] if *what == Path::new("speed") => speed(None),
        [what, library] if *what == Path::new("speed") => speed(Some(library)),
        [what, folder] if *what == Path::new("quality") => quality(folder, None),
        [what, folder, library] if *what == Path::new("quality") => quality(folder, Some(library)),
        _ => Err("write `measure speed [LIBRARY]` or `measure quality FOLDER [LIBRARY]`".into()),
    }
}

/// Seconds of processor time that this thread has used.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn resident_megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

/// Runs something until it has taken a quarter of a second, and gives the processor time of one run in milliseconds.
///
/// The kernel counts in steps of some milliseconds, so that a single run could not be told from none.
fn millis(mut run: impl FnMut()) -> f64 {
    run();
    let (start, before) = (Instant::now(), processor_seconds());
    let mut runs = 0.0;
    while start.elapsed().as_millis() < 250 {
        run();
        runs += 1.0;
    }
    (processor_seconds() - before) * 1000.0 / runs
}

/// The processor time of one run in milliseconds.
fn once(run: impl FnOnce()) -> f64 {
    let before = processor_seconds();
    run();
    (processor_seconds() - before) * 1000.0
}

fn engine(model: &Model, library: Option<&Path>) -> Result<Box<dyn Embedder>, Box<dyn Error>> {
    Ok(match library {
        Some(library) => model.with_ort(library)?,
        None => model.with_tract()?,
    })
}

fn speed(library: Option<&Path>) -> Result<(), Box<dyn Error>> {
    println!("RSS at start                  {:8.1} MB", resident_megabytes());
    let mut model = None;
    println!("tokenizer load                {:8.2} ms", once(|| model = Some(Model::bundled())));
    let model = model.ok_or("the line above made it")?;
    let before = processor_seconds();
    let mut engine = engine(&model, library)?;
    println!("{:5} load                    {:8.1} ms", engine.backend(), (processor_seconds() - before) * 1000.0);
    println!("RSS with the model            {:8.1} MB", resident_megabytes());
    for tokens in [8, 20, 32, 64, 128, 256] {
        let text = "garden ".repeat(tokens - 2);
        let mut failed = None;
        let millis = millis(|| {
            if let Err(error) = engine.embed(&text) {
                failed = Some(error);
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        println!("embed {tokens:4} tokens             {millis:8.2} ms  {:8.1} texts/s", 1000.0 / millis);
    }
    println!("RSS after embedding           {:8.1} MB", resident_megabytes());
    drop(engine);
    println!("RSS without the model         {:8.1} MB", resident_megabytes());
    let mut dice = Dice(1);
    let mut vectors = Vectors::new(model.id());
    for n in 0..100_000_u128 {
        vectors.insert(ChunkId::from_bytes(n.to_be_bytes()), &dice.direction()?.quantize());
    }
    let question = dice.direction()?;
    println!("scan of 100,000 vectors       {:8.2} ms", millis(|| drop(vectors.nearest(&question, 100))));
    println!("RSS with 100,000 vectors      {:8.1} MB", resident_megabytes());
    let mut segment = Vec::new();
    println!("segment write                 {:8.1} ms", once(|| vectors.write_segment(&mut segment).unwrap_or(())));
    let mut again = Vectors::new(model.id());
    println!("segment read                  {:8.1} ms", once(|| again.read_segment(&segment).map(drop).unwrap_or(())));
    println!("segment bytes per vector      {:8.1}", segment.len() as f64 / 100_000.0);
    drop((vectors, again, segment));
    let mut keyword = Keyword::open(Arc::new(Memory::default()))?;
    let start = Instant::now();
    for n in 0..100_000_u128 {
        let text = (0..60).map(|_| format!("w{}", dice.zipf())).collect::<Vec<_>>().join(" ");
        keyword.add(&entry(n, "", &text))?;
        if n % 1000 == 999 {
            keyword.commit(u64::try_from(n)?)?;
        }
    }
    keyword.rest()?;
    println!(
        "keyword, 100,000 chunks       {:8.0} chunks/s (wall, commit every 1,000)",
        1e5 / start.elapsed().as_secs_f64()
    );
    let reader = keyword.reader();
    for question in ["w12 w345 w6789", "w1 w2 w3", "nosuchword", "\"w1 w2\""] {
        let millis = millis(|| drop(reader.search(question, 100, &Filter::default())));
        println!("keyword search {question:15}{millis:8.2} ms");
    }
    println!("RSS at the end                {:8.1} MB", resident_megabytes());
    Ok(())
}

/// Numbers that are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u16 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u16::try_from(self.0 >> 48).expect("16 bits are left")
    }

    fn direction(&mut self) -> Result<Embedding, Box<dyn Error>> {
        let numbers: Vec<f32> = (0..DIMS).map(|_| f32::from(self.roll()) / 32768.0 - 1.0).collect();
        Ok(Embedding::new(&numbers)?)
    }

    /// A number that is small more often than not, as words are common or rare.
    fn zipf(&mut self) -> u32 {
        let (one, other) = (u32::from(self.roll()), u32::from(self.roll()));
        40_000_000 / (1 + one) / (1 + other / 64)
    }
}

fn entry<'a>(n: u128, title: &'a str, text: &'a str) -> ChunkDoc<'a> {
    ChunkDoc {
        chunk: ChunkId::from_bytes(n.to_be_bytes()),
        item: ItemId::from_bytes([0; 16]),
        document: DocumentId::from_bytes([0; 16]),
        session: SessionId::from_bytes([0; 16]),
        text,
        title,
        path: "",
        source: "files",
        kind: "plain",
        modified: Moment::START,
    }
}

#[derive(serde::Deserialize)]
struct Text {
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

fn quality(folder: &Path, library: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let parse = |lines: String| lines.lines().map(serde_json::from_str).collect::<Result<Vec<Text>, _>>();
    let (docs, queries) = (parse(read("docs.jsonl")?)?, parse(read("queries.jsonl")?)?);
    let mut grades: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in read("qrels.tsv")?.lines().skip(1) {
        if let [query, doc, grade] = line.split('\t').collect::<Vec<_>>().as_slice() {
            grades.entry((*query).into()).or_default().insert((*doc).into(), grade.parse()?);
        }
    }
    let model = Model::bundled();
    let mut engine = engine(&model, library)?;
    let mut keyword = Keyword::open(Arc::new(Memory::default()))?;
    let mut vectors = Vectors::new(model.id());
    let mut parents: HashMap<ChunkId, usize> = HashMap::new();
    let start = Instant::now();
    for (nth, doc) in docs.iter().enumerate() {
        let body = Redacted::from_store(format!("# {}\n{}", doc.title, doc.text));
        for found in chunk(&body, hearth_search::Format::Markdown, model.tokenizer()) {
            let id = parents.len() as u128;
            parents.insert(ChunkId::from_bytes(id.to_be_bytes()), nth);
            keyword.add(&entry(id, &doc.title, &found.text))?;
            vectors.insert(ChunkId::from_bytes(id.to_be_bytes()), &engine.embed(&found.embedded())?.quantize());
        }
    }
    keyword.commit(1)?;
    println!("{} documents, {} chunks, {:.0} s", docs.len(), parents.len(), start.elapsed().as_secs_f64());
    let reader = keyword.reader();
    let mut sums = [0.0; 3];
    let (mut judged, mut millis) = (0.0, Vec::new());
    for query in &queries {
        let Some(grades) = grades.get(&query.id) else { continue };
        let before = processor_seconds();
        let words: Vec<_> = reader
            .search(&query.text, 100, &Filter::default())?
            .into_iter()
            .map(|hit| Ranked { key: hit.chunk, score: Some(hit.score) })
            .collect();
        let meaning: Vec<_> = vectors
            .nearest(&engine.embed(&query.text)?, 100)
            .into_iter()
            .map(|near| Ranked { key: near.chunk, score: Some(near.score) })
            .collect();
        for (sum, mode) in sums.iter_mut().zip([Mode::Keyword, Mode::Vector, Mode::Hybrid]) {
            *sum += ndcg(&fuse(&words, &meaning, mode), &parents, &docs, grades);
        }
        millis.push((processor_seconds() - before) * 1000.0);
        judged += 1.0;
    }
    millis.sort_by(f64::total_cmp);
    for (sum, mode) in sums.iter().zip([Mode::Keyword, Mode::Vector, Mode::Hybrid]) {
        println!("nDCG@10 {mode:8} {:.3}", sum / judged);
    }
    println!("query p50 {:.1} ms, p95 {:.1} ms", millis[millis.len() / 2], millis[millis.len() * 95 / 100]);
    Ok(())
}

/// nDCG@10 with linear gain; a document counts where its best chunk stands.
fn ndcg(
    fused: &[Fused<ChunkId>],
    parents: &HashMap<ChunkId, usize>,
    docs: &[Text],
    grades: &HashMap<String, f64>,
) -> f64 {
    let mut seen = Vec::new();
    for hit in fused {
        let doc = parents[&hit.key];
        if !seen.contains(&doc) {
            seen.push(doc);
        }
    }
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let gain = |doc: &usize| grades.get(&docs[*doc].id).copied().unwrap_or(0.0);
    let found: f64 = seen.iter().take(10).enumerate().map(|(place, doc)| gain(doc) * discount(place)).sum();
    let mut best: Vec<f64> = grades.values().copied().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal: f64 = best.iter().take(10).enumerate().map(|(place, grade)| grade * discount(place)).sum();
    if ideal > 0.0 { found / ideal } else { 0.0 }
}
