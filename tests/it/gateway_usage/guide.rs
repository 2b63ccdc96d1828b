//! The guide's commands work.

use super::{CHAT, DONE, Reply, Step, Used};

#[test]
fn every_command_of_the_guide_works() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guides/usage.md")).unwrap();
    let used = Used::start(|_: &_| Reply::ndjson([Step::send(DONE)]));
    let key = used.key(&["job", "--scope", "inference"]);
    assert_eq!(used.ask("/api/chat", &key, CHAT).status, 200);
    used.rows(1, &[]);
    let mut count = 0;
    for line in guide.lines().filter_map(|line| line.strip_prefix("ollama-auth gateway ")) {
        // A shell redirects the output.
        let args: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with('>')).collect();
        let shown = used.gateway.admin(&args).expect_code(0);
        // 7 tokens of prompt and 5 of answer. A month may be over when the test runs.
        let has_tokens = shown.stdout().split_whitespace().any(|word| word == "12");
        assert!(line.contains("--until") || has_tokens, "{line}: {shown:?}");
        count += 1;
    }
    assert_eq!(count, 5);
    let settings = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = used.gateway.sandbox().write("guide.toml", settings);
    let config = format!("--config={}", file.display());
    let checked = used.gateway.sandbox().command(["gateway", "usage", "--by", "day", &config, "--database"]);
    checked.args([used.gateway.database()]).run().expect_code(0);
}
