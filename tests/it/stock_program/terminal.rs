//! A chat of the stock client on a terminal, through the gateway.

use super::program::{Client, ollama};
use crate::harness::gateway::Gateway;
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::pty::Terminal;

#[test]
fn a_chat_through_the_gateway_works() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let client = Client::new(&gateway.url());
    // Before the approval it shows the link and ends.
    let terminal = Terminal::start_program(&client.0, &ollama(), &["run", "tiny"], 250, 40);
    let finished = terminal.finish();
    assert!(finished.screen.contains("You need to be signed in"), "{}", finished.screen);
    let link = finished.screen.split_whitespace().find(|word| word.contains("/connect?")).unwrap();
    gateway.admin(&["approve", link, "--user", "ada"]).expect_code(0);

    let mut terminal = Terminal::start_program(&client.0, &ollama(), &["run", "tiny"], 250, 40);
    terminal.wait_text(">>> ");
    terminal.send("hi\r");
    let said = recorded("chat").said();
    let words = said.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    terminal.wait_for(|screen| screen.contains(&words) && screen.matches(">>> ").count() == 2);
    terminal.send("/show system\r");
    terminal.wait_for(|screen| screen.matches(">>> ").count() == 3);
    // Revoked in the midst of the conversation: the next line is refused.
    gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    terminal.send("more\r");
    terminal.wait_text("this account is disabled");
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored), (1, true), "{}", finished.screen);
    assert_eq!(upstream.server().count("POST", "/api/chat"), 1);
}
