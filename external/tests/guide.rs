//! What the guide quotes is what the code says.

/// The lines of a text, without indentation.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

#[test]
fn what_the_guide_quotes_is_there() {
    let guide = include_str!("../../docs/writing-a-backend.md");
    let sources = [
        lines(include_str!("../src/lib.rs")),
        lines(include_str!("../src/file.rs")),
        lines(include_str!("conformance.rs")),
        lines(include_str!("harness/mod.rs")),
        lines(include_str!("../benches/file.rs")),
    ];
    let mut quotes = 0;
    for block in guide.split("\n```rust\n").skip(1) {
        let (block, _) = block.split_once("\n```\n").expect("a block has an end");
        quotes += 1;
        for piece in lines(block).split(|line| *line == "// ...") {
            let found =
                sources.iter().any(|source| source.windows(piece.len()).any(|at| at == piece));
            assert!(found, "the guide quotes what is not there:\n{}", piece.join("\n"));
        }
    }
    assert!(quotes > 10, "the guide was not read: {quotes} quotes");
}
