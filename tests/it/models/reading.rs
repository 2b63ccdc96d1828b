//! `list`, `ps` and `show`: stock's columns and sections, and the host's own JSON.

use serde_json::{Value, json};

use super::{at, bodies};
use crate::given::says;
use crate::harness::cmd::Sandbox;
use crate::harness::http::Reply;
use crate::harness::ollama::{Ollama, recorded};

fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect()
}

#[test]
fn models_are_listed_as_stock_lists_them() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    for command in ["list", "ls"] {
        let output = at(&sandbox, &ollama, &[command]).run().expect_code(0);
        let rows = words(output.stdout());
        assert_eq!(rows[0], ["NAME", "ID", "SIZE", "MODIFIED"]);
        assert_eq!(rows[1][..3], ["tiny:latest", "65172b9f48b9", "4.1 MB"]);
        assert_eq!(rows.len(), 2);
        assert_eq!(output.stderr(), "");
    }
    let json = at(&sandbox, &ollama, &["list", "--json"]).run().expect_code(0).json();
    assert_eq!(json, recorded("tags").objects()[0]);
}

#[test]
fn a_prefix_and_odd_entries() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    ollama.route("GET", "/api/tags", |_| {
        Reply::json(
            200,
            json!({ "models": [
                { "name": "Tiny:8b", "digest": "ab", "size": 23_000_000_000_u64, "modified_at": "2001-02-03T04:05:06+01:00" },
                { "name": "tiny:cloud", "digest": "65172b9f48b9891d", "size": 384, "remote_model": "tiny", "remote_host": "https://ollama.com:443" },
                { "name": "other", "size": "big", "modified_at": 7 },
            ] }),
        )
    });
    let output = at(&sandbox, &ollama, &["list", "tI"]).run().expect_code(0);
    let rows = words(output.stdout());
    assert_eq!(rows[1][..3], ["Tiny:8b", "ab", "23 GB"]);
    assert!(rows[1][3].ends_with(" years ago"), "{rows:?}");
    assert_eq!(rows[2], ["tiny:cloud", "65172b9f48b9", "-", "Never"]);
    assert_eq!(rows.len(), 3);
    let rows = at(&sandbox, &ollama, &["list", "other"]).run().expect_code(0);
    assert_eq!(words(rows.stdout())[1], ["other", "0 B", "Never"]);
    let none = at(&sandbox, &ollama, &["list", "nothing"]).run().expect_code(0);
    assert_eq!(words(none.stdout()), [["NAME", "ID", "SIZE", "MODIFIED"]]);
    let json = at(&sandbox, &ollama, &["list", "o", "--json"]).run().expect_code(0).json();
    assert_eq!(json, json!({ "models": [{ "name": "other", "size": "big", "modified_at": 7 }] }));
}

#[test]
fn an_empty_model_list_is_not_an_error() {
    for body in [json!({ "models": null }), json!({ "models": [] })] {
        let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
        let answer = body.clone();
        ollama.route("GET", "/api/ps", move |_| Reply::json(200, &answer));
        let output = at(&sandbox, &ollama, &["ps"]).run().expect_code(0);
        assert_eq!(words(output.stdout()), [["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]]);
        assert_eq!(at(&sandbox, &ollama, &["ps", "--json"]).run().json(), json!({ "models": [] }));
    }
}

#[test]
fn loaded_models_are_listed_as_stock_lists_them() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    assert_eq!(at(&sandbox, &ollama, &["ps", "--json"]).run().expect_code(0).json(), recorded("ps").objects()[0]);
    ollama.route("GET", "/api/ps", |_| {
        let mut answer = recorded("ps").objects()[0].clone();
        answer["models"][0]["size_vram"] = json!(10_019_143);
        answer["models"][0]["expires_at"] = json!("2318-01-01T00:00:00Z");
        Reply::json(200, answer)
    });
    let output = at(&sandbox, &ollama, &["ps", "tiny"]).run().expect_code(0);
    let rows = words(output.stdout());
    assert_eq!(rows[1], ["tiny:latest", "65172b9f48b9", "20 MB", "50%/50% CPU/GPU", "4096", "Forever"]);
    assert_eq!(words(at(&sandbox, &ollama, &["ps", "x"]).run().stdout()).len(), 1);
}

#[test]
fn a_model_is_described_in_sections() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let output = at(&sandbox, &ollama, &["show", "tiny"]).run().expect_code(0);
    insta::assert_snapshot!(output.stdout(), @"
      Model
        architecture        llama
        parameters          1.01M
        context length      4096
        embedding length    128
        quantization        unknown

      Capabilities
        completion

      Parameters
        num_predict    32
        temperature    0
    ");
    assert_eq!(output.stderr(), "");
    assert_eq!(bodies(&ollama, "/api/show"), [json!({ "model": "tiny" })]);
    let all = at(&sandbox, &ollama, &["show", "tiny", "-v"]).run().expect_code(0);
    for text in ["  Metadata\n", "    llama.block_count  ", "  Tensors\n", "output.weight", "[128 608]"] {
        assert!(all.stdout().contains(text), "{text:?}\n{}", all.snapshot());
    }
    assert_eq!(bodies(&ollama, "/api/show")[1], json!({ "model": "tiny", "verbose": true }));
    let json = at(&sandbox, &ollama, &["show", "tiny", "--json"]).run().expect_code(0).json();
    assert_eq!(json, recorded("show").objects()[0]);
}

#[test]
fn one_part_is_printed_as_it_is_kept() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let whole = recorded("show").objects()[0].clone();
    let text = |name: &str| whole[name].as_str().unwrap().to_owned();
    for (flag, expected) in [
        ("--modelfile", text("modelfile") + "\n"),
        ("--parameters", text("parameters") + "\n"),
        ("--template", text("template")),
    ] {
        let output = at(&sandbox, &ollama, &["show", "tiny", flag]).run().expect_code(0);
        assert_eq!(output.stdout(), expected, "{flag}");
    }
    for (flag, what) in [("--license", "has no license"), ("--system", "has no system message")] {
        let output = at(&sandbox, &ollama, &["show", "tiny", flag]).run().expect_code(0);
        assert_eq!(output.stdout(), "");
        says(&output, &[what]);
    }
    at(&sandbox, &ollama, &["show", "tiny", "--license", "--system"]).run().expect_code(2);
    let output = at(&sandbox, &ollama, &["show", "nope"]).run().expect_code(3);
    says(&output, &["has no model \"nope\"", "ollama-auth list", &ollama.url()]);
}

#[test]
fn list_without_a_prefix_shows_all_models() {
    let (sandbox, ollama) = (Sandbox::new(), Ollama::start());
    let answer = json!({ "models": [{ "model": "by-model:1" }, {}] });
    ollama.route("GET", "/api/tags", move |_| Reply::json(200, &answer));
    let output = at(&sandbox, &ollama, &["list"]).run().expect_code(0);
    assert!(output.stdout().contains("by-model:1"));
    assert_eq!(output.stdout().lines().count(), 3);
    let json: Value = at(&sandbox, &ollama, &["list", "--json"]).run().json();
    assert_eq!(json["models"][1], json!({}));
}
