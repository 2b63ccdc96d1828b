//! Commands of ours beside those of the stock client, at the stock server: what is equal, and what differs on purpose, as the table in
//! docs/reference/models.md says.

use super::program::{Client, Server, said, shown};
use super::registry::Registry;
use crate::harness::cmd::Output;

const PAGE: &str = include_str!("../../../docs/reference/models.md");

/// A stock server that has the model `tiny`, and a machine with both clients.
fn given() -> (Registry, Server, Client) {
    let (registry, server) = (Registry::start(), Server::start());
    let client = Client::without_key(&server.url());
    let model = registry.name("tiny");
    client.ours(&["pull", "--insecure", &model]).expect_code(0);
    client.stock(&["cp", &model, "tiny"]).expect_code(0);
    (registry, server, client)
}

/// Words, without how far apart they are: stock's columns are four blanks apart and ours two.
fn words(output: &Output) -> String {
    shown(&output.stdout).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn what_is_read_is_equal_to_stock() {
    let (_registry, _server, client) = given();
    for args in [
        &["ps"][..],
        &["list", "nothing"],
        &["show", "tiny"],
        &["show", "--verbose", "tiny"],
        &["show", "--modelfile", "tiny"],
        &["show", "--template", "tiny"],
        &["show", "--parameters", "tiny"],
        &["show", "--system", "tiny"],
        &["show", "--license", "tiny"],
    ] {
        let (stock, ours) = (client.stock(args).expect_code(0), client.ours(args).expect_code(0));
        assert_eq!(words(&ours), words(&stock), "{args:?}");
        assert_eq!(ours.stderr(), "", "{args:?}");
        if args.len() == 3 && args[1] != "--verbose" {
            assert_eq!(ours.stdout(), stock.stdout(), "{args:?}: to the byte");
        }
    }
    // The time goes on between the two.
    let without_time = |output: &Output| {
        let lines = words(output);
        lines.lines().map(|line| line.split(' ').take(4).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let (stock, ours) = (client.stock(&["list"]).expect_code(0), client.ours(&["list"]).expect_code(0));
    // Models of the same second come in any order.
    assert_eq!(sorted(without_time(&ours)), sorted(without_time(&stock)));
    assert_eq!(without_time(&ours).len(), 3);
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// A cell of the table: what is printed, and the exit code. `nothing` is printed by what is silent.
fn cell(cell: &str) -> (String, i32) {
    let (text, code) = cell.rsplit_once(", ").unwrap();
    let text = text.trim().trim_matches('`');
    (if text == "nothing" { String::new() } else { text.to_owned() }, code.trim().parse().unwrap())
}

#[test]
fn what_differs_from_stock_is_as_the_reference_says() {
    let (registry, server, client) = given();
    let table = PAGE.split_once("## Differences from `ollama`").unwrap().1.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut commands = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [command, stock, ours] = cells[..] else { panic!("three cells: {row}") };
        // A word after the command says in which state the server is.
        let command = command.split('`').nth(1).unwrap().replace("REGISTRY/", &registry.name(""));
        if row.contains("signed out") {
            continue; // `cloud` tests it, at a server that has a cloud.
        }
        let args: Vec<&str> = command.split(' ').collect();
        for (program, (text, code)) in [("ollama", cell(stock)), ("ollama-auth", cell(ours))] {
            // What some rows remove.
            client.stock(&["cp", "tiny", "x"]).expect_code(0);
            let output = if program == "ollama" { client.stock(&args) } else { client.ours(&args) };
            let said = said(&output);
            assert_eq!(output.code(), code, "{program} {command}\n{said}");
            let text = text.replace("HOST", &server.url()).replace("REGISTRY/", &registry.name(""));
            assert!(
                said.contains(&text) && said.is_empty() == text.is_empty(),
                "{program} {command}: {text:?}\n{said}"
            );
        }
        commands += 1;
    }
    assert_eq!(commands, 15);
}
