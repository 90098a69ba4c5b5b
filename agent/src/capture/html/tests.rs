//! Pages as people write them, and as nobody should.

use proptest::prelude::*;

use super::*;

#[test]
fn a_page_becomes_what_a_reader_would_see() {
    for (case, page, expected) in [
        ("paragraphs", "<p>One <b>two</b>\n three</p><p>Four", "One two three\n\nFour\n"),
        ("headings", "<h1>A\n<em>b</em></h1>text<h3 class='x'>C</h3>", "# A b\n\ntext\n\n### C\n"),
        ("an empty heading", "<h2></h2><p>x", "x\n"),
        ("lists", "<ul><li>a<li>b<ol><li>c</li><li>d</ol></ul>e", "- a\n- b\n  1. c\n  2. d\n\ne\n"),
        ("a paragraph in a list", "<ul><li><p>a</p></li></ul>", "- a\n"),
        (
            "a table",
            "<table><tr><th>a<th>b</tr><tr><td>c<br>d</td><td><p>e</p></td></tr></table>f",
            "a | b\nc d | e\n\nf\n",
        ),
        ("code", "<pre><code>fn a() {\n  # b\n}\n</code></pre>x", "```\nfn a() {\n  # b\n}\n```\n\nx\n"),
        ("a fence in code", "<pre>a\n```\nb</pre>", "```\na\n    ```\nb\n```\n"),
        ("code in a line", "<p>the <code>x</code> of", "the x of\n"),
        ("a hash is no heading", "<p># not a heading</p>", "\\# not a heading\n"),
        ("scripts and styles", "a<script>if (a < b) '</p>'</script><style>p > a {}</style>b", "ab\n"),
        ("navigation", "<nav><ul><li>Home</ul><nav>x</nav></nav><p>text", "text\n"),
        ("navigation that never ends", "<nav><p>text", "text\n"),
        ("comments", "a<!-- <p>x --><!-->b", "ab\n"),
        ("an attribute with a sign in it", "<a title=\"a > b\" href=x>c</a>", "c\n"),
        ("a quote in an unquoted attribute", "<a href=it's>c</a> d's", "c d's\n"),
        ("an image", "a <img src=x alt=\"a &quot;cat&quot;\"> b <img data-alt=y>", "a a \"cat\" b\n"),
        (
            "character references",
            "&lt;p&gt; &eacute;&#233;&#xe9; &copy &notit; &nope; AT&T &#x80; &#0;",
            "<p> ééé © ¬it; &nope; AT&T €\n",
        ),
        ("signs that open nothing", "1 < 2 <3 </ > <> a<", "1 < 2 <3 <> a<\n"),
        ("a tag that never ends", "a<p class='x", "a\n"),
        ("a script that never ends", "a<script>b", "a\n"),
        ("line breaks", "a<br>b<br/>c<hr>d", "a\nb\nc\n\nd\n"),
        ("nothing", "", ""),
    ] {
        assert_eq!(to_markdown(page).1, expected, "{case}");
    }
}

#[test]
fn a_whole_page_reads_as_its_golden_copy() {
    let page = include_str!("../../../../tests/data/capture/page.html");
    let (title, text) = to_markdown(page);
    assert_eq!(title.as_deref(), Some("Sourdough — a week of notes"));
    assert_eq!(text, include_str!("../../../../tests/data/capture/page.md"));
}

#[test]
fn a_title_is_the_page_s_own_or_its_first_heading() {
    for (page, title) in [
        ("<title>\n A &amp;\n B </title><h1>C</h1>", Some("A & B")),
        ("<title></title><h2>C</h2>", Some("C")),
        ("<svg><title>icon</title></svg><title>Page</title>", Some("Page")),
        ("<p>text", None),
    ] {
        assert_eq!(to_markdown(page).0.as_deref(), title, "{page}");
    }
}

#[test]
fn no_page_costs_more_than_time_linear_in_its_length() {
    // Each of these takes a tree builder stack, or time with the square of the length: 400,000 steps squared would not end.
    for (case, part) in [
        ("folded boxes", "<div>"),
        ("folded paragraphs", "<p><b>"),
        ("folded lists", "<ul><li>"),
        ("folded tables", "<table><tr><td>"),
        ("folded code", "<pre>"),
        ("folded quotes", "<blockquote>"),
        ("formatting without end", "<b id=x><p>"),
        ("navigation without end", "<nav>"),
        ("drawings and no end", "<svg><nav>"),
        ("ends without a beginning", "</div></p>"),
        ("comments without end", "<!--"),
        ("declarations without end", "<!x"),
        ("scripts within scripts", "<script><!--"),
        ("open signs", "<"),
        ("ampersands", "&"),
        ("half references", "&#"),
        ("half names", "&ampampampampampampampampampampamp"),
        ("quotes in tags", "<a b='"),
        ("images", "<img alt"),
        ("numbers", "<ol><li>"),
    ] {
        let page = part.repeat(400_000);
        let (_, text) = to_markdown(&page);
        assert!(text.len() <= page.len() * 8, "{case}");
        let attributes = format!("<img {} alt=x>", part.replace(['<', '>'], "").repeat(100_000));
        assert!(to_markdown(&attributes).1.len() <= attributes.len(), "{case}");
    }
    let folded = format!("{}x{}", "<nav>".repeat(200_000), "</nav>".repeat(200_000));
    assert_eq!(to_markdown(&folded).1, "");
}

proptest! {
    #[test]
    fn any_page_becomes_text(page in "(<|>|/|!|--|&|#|;|\"|'|=|a|p|pre|ul|li|h1|td|nav|svg|script|title|br|img|alt| |\n|é|\u{0}){0,80}") {
        let (title, text) = to_markdown(&page);
        prop_assert!(title.is_none_or(|title| !title.contains('\n')));
        prop_assert!(text.is_empty() || text.ends_with('\n'));
    }

    #[test]
    fn plain_words_all_come_through(words in prop::collection::vec("[a-z]{1,8}", 1..30), tag in "(p|div|li|td|h2|b|span|pre|blockquote)") {
        let page: String = words.iter().map(|word| format!("<{tag}>{word}</{tag}> ")).collect();
        let text = to_markdown(&page).1;
        let found: Vec<&str> = text.split(|c: char| !c.is_ascii_lowercase()).filter(|word| !word.is_empty()).collect();
        prop_assert_eq!(found, words);
    }
}
