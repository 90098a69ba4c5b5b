//! nDCG@10 on the Cranfield collection, through the commands a person would use.
//!
//! The collection is not part of the repository.

use super::{Figure, Measured, Site, make_folder, read};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

const MODES: [&str; 3] = ["hybrid", "vector", "keyword"];
/// How deep a run is judged.
const DEPTH: usize = 10;

/// Names in order, by query.
type Run = HashMap<String, Vec<String>>;
/// How relevant a document is, by query.
type Judgements = HashMap<String, HashMap<String, f64>>;

pub(super) fn measure(site: &Site<'_>) -> Measured {
    let collection = site.shared("retrieval-dev/cranfield")?;
    let file = |name: &str| path(&collection.join(name));
    let judgements = judgements(&read(&collection.join("qrels.tsv"))?)?;
    let product = site.product("quality");
    let place = site.folder.join("quality");
    make_folder(&place)?;
    let begun = Instant::now();
    let imported: Value = product.ask(&["import", "--json", &file("docs.jsonl")])?;
    let took = begun.elapsed().as_secs_f64();
    println!("{} documents imported in {took:.1} s", imported["items"]);
    let mut figures = Vec::new();
    for mode in MODES {
        let out = place.join(format!("{mode}.trec"));
        product.ask(&[
            "search",
            "--json",
            "--batch",
            &file("queries.jsonl"),
            "--run",
            &path(&out),
            "-n",
            "100",
            "--mode",
            mode,
        ])?;
        let (score, judged) = mean_ndcg(&run(&read(&out)?)?, &judgements);
        let what = format!("nDCG@10 on Cranfield through the product, {mode}");
        figures.push(Figure::new(what, score, "").noting(format!("{judged} queries")));
    }
    let what = format!("import of its {} documents, vectors included", imported["items"]);
    figures.push(Figure::new(what, took, "s"));
    Ok(figures)
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Grades out of lines of query, document and grade, below a head.
fn judgements(text: &str) -> Result<Judgements, String> {
    let mut judgements = Judgements::new();
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [query, document, grade] = columns[..] else {
            return Err(format!("line {} of the judgements has not three columns", number + 1));
        };
        let grade = grade.parse().map_err(|_| format!("line {} of the judgements has no grade", number + 1))?;
        judgements.entry(query.into()).or_default().insert(document.into(), grade);
    }
    Ok(judgements)
}

/// A run in TREC form; its lines stand in the order of their ranks.
fn run(text: &str) -> Result<Run, String> {
    let mut run = Run::new();
    for (number, line) in text.lines().enumerate() {
        let columns: Vec<&str> = line.split(' ').collect();
        let [query, _, document, ..] = columns[..] else {
            return Err(format!("line {} of the run is not in TREC form", number + 1));
        };
        run.entry(query.into()).or_default().push(document.into());
    }
    Ok(run)
}

/// The mean over all queries that have something relevant, and how many they are. A query without an answer counts as 0.
fn mean_ndcg(run: &Run, judgements: &Judgements) -> (f64, usize) {
    let scores: Vec<f64> = judgements
        .iter()
        .filter_map(|(query, grades)| ndcg(run.get(query).map_or(&[], Vec::as_slice), grades))
        .collect();
    (scores.iter().sum::<f64>() / scores.len().max(1) as f64, scores.len())
}

/// nDCG@10 with linear gain; `None` when nothing is relevant.
fn ndcg(found: &[String], grades: &HashMap<String, f64>) -> Option<f64> {
    let gained = |grades: &mut dyn Iterator<Item = f64>| -> f64 {
        grades.take(DEPTH).enumerate().map(|(place, grade)| grade / (place as f64 + 2.0).log2()).sum()
    };
    let mut best: Vec<f64> = grades.values().copied().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal = gained(&mut best.into_iter());
    let mut found = found.iter().map(|document| grades.get(document).copied().unwrap_or(0.0));
    (ideal > 0.0).then(|| gained(&mut found) / ideal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &str) -> Vec<String> {
        found.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn a_run_is_worth_what_it_gains_of_what_could_be_gained() {
        let grades = HashMap::from([("a", 3.0), ("b", 2.0), ("c", 0.0)].map(|(name, grade)| (name.to_owned(), grade)));
        let second = 1.0 / 3.0_f64.log2();
        let ideal = 3.0 + 2.0 * second;
        for (case, found, expected) in [
            ("the ideal order", "a b c", 1.0),
            ("the worse one first", "b a", (2.0 + 3.0 * second) / ideal),
            ("what was never judged counts nothing", "x a", 3.0 * second / ideal),
            ("the eleventh place counts nothing", "1 2 3 4 5 6 7 8 9 10 a", 0.0),
            ("nothing found", "", 0.0),
        ] {
            let score = ndcg(&names(found), &grades).expect("something is relevant");
            assert!((score - expected).abs() < 1e-12, "{case}: {score}");
        }
        assert_eq!(ndcg(&names("c"), &HashMap::from([("c".to_owned(), 0.0)])), None);
    }

    #[test]
    fn a_query_without_an_answer_lowers_the_mean_and_one_without_relevance_is_left_out() {
        let judgements = judgements("query_id\tdoc_id\tgrade\n1\ta\t1\n2\ta\t4\n3\ta\t0\n").expect("well formed");
        let run = run("1 Q0 a 1 0.5 tag\n1 Q0 b 2 0.4 tag\n3 Q0 b 1 0.1 tag\n").expect("well formed");
        assert_eq!(run["1"], names("a b"));
        let (mean, judged) = mean_ndcg(&run, &judgements);
        assert!((mean - 0.5).abs() < 1e-12 && judged == 2, "{mean} of {judged}");
    }

    #[test]
    fn a_slip_names_its_line() {
        let slip = judgements("head\n1\ta\t1\n1\ta\n").expect_err("two columns");
        assert!(slip.contains("line 3"), "{slip}");
        let slip = run("1 Q0 a 1 0.5 tag\nhello\n").expect_err("one word");
        assert!(slip.contains("line 2"), "{slip}");
    }
}
