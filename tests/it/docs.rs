//! The book in docs/ and the pages beside it: every link leads somewhere, every page is in the book's table of contents, every
//! file that is named exists, and the reference pages list what the code has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file below docs/, by its path from the repository's root.
fn book() -> Vec<PathBuf> {
    let (mut pages, mut folders) = (Vec::new(), vec![PathBuf::from("docs")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The lines of a page outside of its code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The anchors that GitHub and mdBook make of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut anchors = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = seen.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

/// The targets of a page's Markdown links and pictures, and of `src` and `srcset` in its HTML.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        for (opens, closes) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
            found.extend(line.split(opens).skip(1).filter_map(|rest| Some(rest.split_once(closes)?.0.to_owned())));
        }
    }
    found
}

/// `folder/../page` without the `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => assert!(whole.pop(), "{} leaves the repository", path.display()),
            part => whole.push(part),
        }
        whole
    })
}

#[test]
fn every_relative_link_and_anchor_exists() {
    let beside = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(PathBuf::from);
    let mut count = 0;
    for page in book().into_iter().chain(beside) {
        let text = read(&page);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').map_or((&*link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { normal(&page.with_file_name(file)) };
            assert!(root().join(&target).is_file(), "{} links to {link}", page.display());
            if page.starts_with("docs") {
                assert!(target.starts_with("docs"), "{}: {link} would be broken in the book", page.display());
            }
            if let Some(anchor) = anchor {
                assert!(anchors(&read(&target)).contains(anchor), "{} links to {link}", page.display());
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn every_page_is_listed_once_in_the_contents() {
    let contents = Path::new("docs/SUMMARY.md");
    let mut listed: Vec<PathBuf> = links(&read(contents)).iter().map(|link| contents.with_file_name(link)).collect();
    listed.sort();
    let pages: Vec<PathBuf> = book().into_iter().filter(|page| page != contents).collect();
    assert_eq!(listed, pages);
}

/// The texts in backticks.
fn quoted(text: &str) -> Vec<&str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The first cells of a page's tables, all names in backticks in them.
fn listed(page: &str) -> BTreeSet<String> {
    let text = read(Path::new(page));
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(quoted_in_line).map(str::to_owned).collect()
}

fn quoted_in_line(line: &str) -> impl Iterator<Item = &str> {
    quoted_by(line, '`')
}

fn quoted_by(line: &str, mark: char) -> impl Iterator<Item = &str> {
    line.split(mark).skip(1).step_by(2)
}

/// The string literals of a file, without its tests.
fn literals(source: &str) -> BTreeSet<String> {
    let text = read(Path::new(source));
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap().replace("'\"'", "");
    code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Where a path in the repository may begin.
const TOPS: [&str; 10] =
    ["src/", "tests/", "scripts/", "docs/", "contrib/", "fuzz/", "migrations/", "completions/", "man/", ".ci/"];

/// A path with placeholders is one that a reader replaces.
#[test]
fn every_file_that_a_page_names_exists() {
    let beside = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from);
    let mut count = 0;
    for page in book().into_iter().chain(beside) {
        let text = read(&page);
        for name in quoted(&text) {
            let name = name.split_whitespace().next().unwrap_or_default();
            if !TOPS.iter().any(|top| name.starts_with(top))
                || name.contains(['<', '*', '…'])
                || name.contains("NAME")
                || name.contains("TARGET")
            {
                continue;
            }
            let path = name.split_once(':').map_or(name, |(file, _)| file);
            assert!(root().join(path).exists(), "{} names {name}", page.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

/// Every Rust file below a folder, by its path from the repository's root.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What does not exist in the repository of what a comment names: a path, a page (`SECURITY.md`), a source file in backticks.
fn missing_in_comment(comment: &str, file_names: &BTreeSet<String>) -> Vec<String> {
    let words = comment.split(|c: char| c.is_whitespace() || matches!(c, '`' | '(' | ')' | '"' | ',' | ';' | '|'));
    let words = words.map(|word| word.split(":").next().unwrap_or_default().trim_end_matches(['.', '!', '?']));
    let is_missing = |word: &&str| {
        if word.contains(['<', '*', '…', '{', '$'])
            || ["NAME", "TARGET", "VERSION"].iter().any(|word_to_replace| word.contains(word_to_replace))
        {
            return false;
        }
        if TOPS.iter().any(|top| word.starts_with(top)) {
            return !root().join(word).exists();
        }
        // Pages that were never part of the repository, but were referred to by their titles.
        let is_page = word.strip_suffix(".md").is_some_and(|stem| stem.chars().all(|c| c.is_ascii_uppercase()));
        (is_page && !word.is_empty() && !root().join(word).exists()) || ["PROTOCOL", "DESIGN", "STYLE"].contains(word)
    };
    let mut missing: Vec<String> = words.filter(is_missing).map(str::to_owned).collect();
    let sources = quoted_in_line(comment).filter(|name| name.ends_with(".rs") && !name.contains(['/', ' ', '*']));
    missing.extend(sources.filter(|name| !file_names.contains(*name)).map(str::to_owned));
    missing
}

/// A reader who follows a reference must arrive somewhere.
#[test]
fn every_file_that_a_comment_names_exists() {
    let files: Vec<PathBuf> = ["src", "tests", "fuzz"].iter().flat_map(|top| rust_files(Path::new(top))).collect();
    let names: BTreeSet<String> =
        files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let mut missing = Vec::new();
    for path in &files {
        for line in read(path).lines().filter(|line| line.trim_start().starts_with("//")) {
            let in_line = missing_in_comment(line, &names).into_iter();
            missing.extend(in_line.map(|name| format!("{}: {name}", path.display())));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(
        missing_in_comment("// see DESIGN: \"x\", docs/no.md, `no.rs`", &names),
        ["DESIGN", "docs/no.md", "no.rs"]
    );
}

#[test]
fn the_readme_is_a_front_page() {
    let lines = read(Path::new("README.md")).lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// By the manual pages, of which there is one for each command.
#[test]
fn the_commands_page_lists_every_command() {
    // A command of two words has the same name with a hyphen.
    let text = read(Path::new("docs/reference/commands.md")).replace('-', " ");
    let pages = fs::read_dir(root().join("man")).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let commands =
        pages.filter_map(|page| Some(page.strip_prefix("ollama-auth-")?.strip_suffix(".1")?.replace('-', " ")));
    let commands: Vec<String> = commands.collect();
    assert!(commands.len() > 40, "{commands:?}");
    for command in commands {
        let last = command.split(' ').next_back().unwrap();
        let named = [command.as_str(), last].iter().any(|name| text.contains(&format!("`{name}")));
        assert!(named, "docs/reference/commands.md does not list {command}");
    }
}

/// `help environment` lists what src/env.rs reads; a unit test there checks that.
#[test]
fn the_environment_page_lists_every_variable() {
    let help = crate::harness::cmd::Sandbox::new().command(["help", "environment"]).run().expect_code(0);
    let names = help.stdout().lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let mut listed_by_help: BTreeSet<String> = names.flat_map(|line| line.split(", ")).map(str::to_owned).collect();
    if cfg!(feature = "gateway") {
        listed_by_help.insert("OLLAMA_AUTH_GATEWAY_CONFIG".to_owned());
    }
    assert_eq!(listed("docs/reference/environment.md"), listed_by_help);
}

#[test]
fn the_page_on_programs_has_a_row_for_each_that_is_tried() {
    let page = read(&root().join("docs/guides/configure-programs.md"));
    let known = read(&root().join("tests/programs/known.py"));
    let names: Vec<&str> =
        known.lines().filter_map(|line| line.trim().strip_prefix("Program(\"")?.split('"').next()).collect();
    assert!(names.len() > 15, "{names:?}");
    let is_row = |page: &str, name: &str| page.contains(&format!("\n| {name} "));
    for name in names {
        assert!(is_row(&page, name), "{name} has no row");
    }
    let started = read(&root().join("docs/guides/programs.md"));
    let in_exec = known.lines().filter(|line| line.contains("_started"));
    let in_exec: Vec<&str> =
        in_exec.filter_map(|line| line.trim().strip_prefix("Program(\"")?.split('"').next()).collect();
    assert!(in_exec.len() > 5, "{in_exec:?}");
    for name in in_exec {
        assert!(is_row(&started, name), "{name} has no row for exec");
    }
}

#[test]
fn the_scopes_page_lists_every_scope() {
    let scopes: BTreeSet<String> = literals("src/keyspec/scope.rs")
        .into_iter()
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == ':'))
        .collect();
    let text = read(Path::new("docs/reference/scopes.md"));
    let (_, section) = text.split_once("\n## Scopes\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(documented, scopes);
}

#[cfg(feature = "gateway")]
#[test]
fn the_http_page_lists_every_route_and_event() {
    let text = read(Path::new("docs/reference/http.md"));
    let documented: BTreeSet<&str> =
        quoted(&text).into_iter().map(|name| name.trim_start_matches("GET ").split('?').next().unwrap()).collect();
    let routes: Vec<String> =
        literals("src/gateway/routes.rs").into_iter().filter(|name| name.starts_with('/')).collect();
    assert!(routes.len() > 25, "{routes:?}");
    for route in &routes {
        assert!(documented.contains(route.as_str()), "docs/reference/http.md lists no {route}");
    }
    let (_, api) = text.split_once("\n| routes |").unwrap();
    let (api, events) = api.split_once("\n## Event log\n").unwrap();
    let table = api.split("\n\n").next().unwrap();
    for name in quoted(table).iter().map(|name| name.trim_start_matches("GET ")).filter(|name| name.starts_with('/')) {
        assert!(routes.iter().any(|route| route == name), "src/gateway/routes.rs has no {name}");
    }
    let source = all_sources(Path::new("src/gateway"));
    let documented: BTreeSet<&str> =
        quoted(events).into_iter().filter(|name| name.contains('.') && !name.contains(' ')).collect();
    assert!(documented.len() > 10);
    for action in &documented {
        assert!(source.contains(&format!("\"{action}\"")), "no event has the action {action}");
    }
    let written = event_actions();
    let (_, codes) = events.split_once("\n| code | meaning |\n").unwrap();
    let codes: BTreeSet<String> = quoted(codes).into_iter().map(str::to_owned).collect();
    assert_eq!(codes, literals("src/gateway/refusal_code.rs").into_iter().collect());
    let missing: Vec<&String> = written.iter().filter(|action| !documented.contains(action.as_str())).collect();
    assert!(missing.is_empty(), "docs/reference/http.md has no event {missing:?}");
}

/// The actions of events in the gateway's code, without its tests: literals like `key.created`, where they are neither names of files
/// nor, as in the SQLite store, of columns.
#[cfg(feature = "gateway")]
fn event_actions() -> BTreeSet<String> {
    let files = rust_files(Path::new("src/gateway")).into_iter();
    let files = files.filter(|path| {
        let name = path.to_str().unwrap();
        !name.ends_with("tests.rs")
            && !name.contains("/tests/")
            && !name.contains("/sqlite/")
            // Columns of a joined table, and events of the APIs.
            && !name.ends_with("sql/usage_totals.rs")
            && !name.contains("/usage/response/")
            && !name.ends_with("conformance.rs")
    });
    let is_action = |text: &str| {
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let parts: Vec<&str> = text.split('.').collect();
        matches!(parts[..], [subject, what] if is_word(subject) && is_word(what)
            && !["com", "css", "db", "example", "io", "js", "json", "sock", "svg", "toml"].contains(&what))
    };
    let mut actions = BTreeSet::new();
    for path in files {
        let text = read(&path);
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            actions.extend(quoted_by(line, '"').filter(|text| is_action(text)).map(str::to_owned));
        }
    }
    actions
}

/// Every file and folder directly below `src` and `src/gateway`.
#[test]
fn the_architecture_page_has_every_module() {
    let page = read(Path::new("docs/architecture.md"));
    for folder in ["src", "src/gateway"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            let named = if root().join(&path).is_dir() { format!("`{path}/") } else { format!("`{path}`") };
            // The module's file beside its folder is named with it.
            let is_folder_too = path.strip_suffix(".rs").is_some_and(|folder| root().join(folder).is_dir());
            assert!(page.contains(&named) || is_folder_too, "docs/architecture.md does not name {path}");
        }
    }
}

/// Number and module of the steps: of those that begin with a number, a full stop and a name in backticks.
#[cfg(feature = "gateway")]
fn steps(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().filter_map(|line| line.trim_start_matches("//! ").split_once(". `"));
    lines.filter_map(|(number, rest)| Some((number.parse().ok()?, rest.split_once("`:")?.0.to_owned()))).collect()
}

#[cfg(feature = "gateway")]
#[test]
fn the_steps_of_a_request_have_the_same_numbers_everywhere() {
    let page = read(Path::new("docs/architecture.md"));
    let (_, walk) = page.split_once("\n## Walk: a proxied request\n").unwrap();
    let in_page = steps(walk.split("\n## ").next().unwrap());
    let stack = read(Path::new("src/gateway/stack.rs"));
    let in_code = steps(stack.split("\nuse ").next().unwrap());
    assert!(in_code.len() > 5, "{in_code:?}");
    assert_eq!(in_page, in_code);
}

/// A recipe names the tests that fail without a step.
#[test]
fn every_test_that_the_architecture_page_names_exists() {
    let page = read(Path::new("docs/architecture.md"));
    let sources: String =
        ["src", "tests"].iter().flat_map(|top| rust_files(Path::new(top))).map(|path| read(&path)).collect();
    let (_, recipes) = page.split_once("\n## How to add …\n").unwrap();
    let recipes = recipes.split("\n## ").next().unwrap().replace('\n', " ");
    let brackets = recipes.split('[').skip(1).filter_map(|text| text.split_once(']')).map(|(inside, _)| inside);
    let tests: Vec<&str> = brackets.flat_map(quoted_in_line).collect();
    assert!(tests.len() > 10, "{tests:?}");
    for test in tests {
        assert!(sources.contains(&format!("fn {test}()")), "there is no test {test}");
    }
}

#[cfg(feature = "gateway")]
fn all_sources(folder: &Path) -> String {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| folder.join(entry.unwrap().file_name()));
    entries.map(|path| if root().join(&path).is_dir() { all_sources(&path) } else { read(&path) }).collect()
}

/// Names in the first cells of the tables below a heading.
#[cfg(feature = "gateway")]
fn members_below(page: &str, heading: &str) -> BTreeSet<String> {
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(quoted_in_line).map(str::to_owned).collect()
}

#[cfg(feature = "gateway")]
#[test]
fn the_json_page_lists_the_members_that_are_printed() {
    use crate::given::{PASSPHRASE, with_store};
    use crate::harness::browser::Behaviour;
    use crate::harness::gateway::{Gateway, PASSWORD};
    use crate::harness::ollama::Ollama;
    use serde_json::Value;

    let page = read(Path::new("docs/reference/json.md"));
    let checked = std::cell::RefCell::new(BTreeSet::new());
    let holds = |heading: &str, value: &Value, optional: &[&str]| {
        let documented = members_below(&page, &format!("`{heading}`"));
        let printed: BTreeSet<String> =
            value.as_object().unwrap_or_else(|| panic!("{heading}: {value}")).keys().cloned().collect();
        let wanted: BTreeSet<String> = documented
            .iter()
            .filter(|name| printed.contains(*name) || !optional.contains(&name.as_str()))
            .cloned()
            .collect();
        assert_eq!(printed, wanted, "{heading}");
        checked.borrow_mut().insert(heading.to_owned());
    };
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    let added = gateway.admin_with(&["user", "add", "ada", "--json"], &format!("{PASSWORD}\n")).expect_code(0).json();
    holds("gateway user", &added, &[]);
    holds("gateway user", &gateway.admin(&["user", "list", "--json"]).expect_code(0).json()["users"][0], &[]);
    let mut sandbox = with_store("plaintext");
    sandbox.set_env("OLLAMA_AUTH_PASSPHRASE", PASSPHRASE);
    sandbox.browser(Behaviour::Person("ada", "Approve"));
    let url = gateway.url();
    let run = |args: &[&str], code: i32| sandbox.command(args).args(["--json"]).run().expect_code(code).json();

    let first = run(&["signin", "--host", &url, "--no-wait"], 4);
    holds("signin", &first, &[]);
    let approved = gateway.admin(&["approve", first["connect_url"].as_str().unwrap(), "--user", "ada", "--json"]);
    holds("gateway approve", &approved.expect_code(0).json(), &[]);
    let missing = ["connect_url", "user_code", "verification_uri"];
    holds("signin", &run(&["signin", "--host", &url], 0), &missing);
    let devices = gateway.admin(&["device", "list", "--json"]).expect_code(0).json();
    holds("gateway device", &devices["devices"][0], &[]);
    holds("gateway audit", &gateway.admin(&["audit", "--json"]).expect_code(0).json()["events"][0], &[]);
    let verified = gateway.sandbox().command(["gateway", "audit", "verify", "--json", "--database"]);
    holds("gateway audit verify", &verified.args([gateway.database()]).run().expect_code(0).json(), &[]);
    let audit = |args: &[&str]| {
        let command = gateway.sandbox().command(["gateway", "audit"]).args(args);
        command.args(["--json", "--database"]).args([gateway.database()]).run()
    };
    let made = || Some(audit(&["checkpoint"])).filter(|output| output.code() == 0);
    holds("gateway audit checkpoint", &crate::harness::poll("a checkpoint", made).json(), &[]);
    holds("gateway audit key", &audit(&["key"]).expect_code(0).json(), &[]);
    holds("gateway audit rotate-key", &audit(&["rotate-key"]).expect_code(0).json(), &[]);
    holds("gateway audit prove", &audit(&["prove", "0"]).expect_code(0).json(), &[]);
    let begun = gateway.admin(&["audit", "new-log", "--reason", "restored", "--json"]).expect_code(0).json();
    holds("gateway audit new-log", &begun, &[]);
    let invited = gateway.admin(&["user", "invite", "--json"]).expect_code(0).json();
    holds("gateway user invite", &invited, &[]);
    let listed = gateway.admin(&["user", "invitations", "--json"]).expect_code(0).json();
    holds("gateway user invite", &listed["invitations"][0], &["link"]);
    let notice = gateway.admin(&["maintenance", "show", "--json"]).expect_code(0).json();
    holds("gateway maintenance", &notice, &[]);
    run(&["keys", "create", "ci"], 0);
    holds("gateway key", &gateway.admin(&["key", "list", "--json"]).expect_code(0).json()["keys"][0], &[]);
    let status = gateway.admin(&["status", "--json"]).json();
    holds("gateway status", &status["gateways"][0], &[]);
    let gate = crate::harness::http::Gate::new();
    let closed = gate.clone();
    ollama.route("GET", "/api/ps", move |_| crate::harness::http::Reply::json(200, r#"{"models":[]}"#).after(&closed));
    let asking = sandbox.command(["ps"]).spawn();
    let stream = crate::harness::poll("a response under way", || {
        let streams = gateway.admin(&["top", "--json"]).expect_code(0).json();
        streams["streams"].get(0).cloned()
    });
    holds("gateway top", &stream, &["gateway"]);
    gate.open();
    asking.finish().expect_code(0);
    holds("device list", &run(&["device", "list"], 0)["devices"][0], &[]);
    holds("device show", &run(&["device", "show"], 0), &[]);
    holds("device export", &run(&["device", "export", "key", "--no-passphrase"], 0), &[]);
    holds("device import", &run(&["device", "import", "key", "--host", &url, "--profile", "other"], 0), &[]);
    holds("profile list", &run(&["profile", "list"], 0)["profiles"][0], &[]);
    holds("profile show", &run(&["profile", "show"], 0), &[]);
    holds("store show", &run(&["store", "show"], 0)["secrets"][0], &[]);
    holds("store lock", &run(&["store", "lock"], 0), &[]);
    holds("store move", &run(&["store", "move", "--to", "file"], 0)["moved"][0], &[]);
    let answer = sandbox.command(["run", "tiny", "hi", "--output", "json"]).run().expect_code(0).json();
    let usage = crate::harness::poll("its usage", || {
        let shown = gateway.admin(&["usage", "--by", "person,key,model,day", "--json"]).expect_code(0).json();
        shown["usage"].get(0).cloned()
    });
    holds("gateway usage", &usage, &["hour"]);
    holds("run --output json", &answer, &["thinking"]);
    holds("device rotate", &run(&["device", "rotate", "--yes"], 0), &[]);
    holds("device revoke", &run(&["device", "revoke", "--yes"], 0), &[]);
    run(&["signin", "--host", &url], 0);
    holds("signout", &run(&["signout"], 0)["signed_out"][0], &[]);
    let backup = sandbox.path("backup.db").to_str().unwrap().to_owned();
    let backed_up = gateway.admin(&["db", "backup", &backup, "--json"]).expect_code(0).json();
    holds("gateway db", &backed_up, &[]);
    let restored = sandbox.path("restored.db").to_str().unwrap().to_owned();
    holds("gateway db", &run(&["gateway", "db", "copy", &backup, &restored], 0), &[]);
    holds("gateway init", &run(&["gateway", "init", "gateway.toml"], 0), &[]);
    holds("gateway policy check", &run(&["gateway", "policy", "check", "gateway.toml"], 0), &[]);
    let explain = ["policy", "explain", "--user", "ada", "--route", "GET /api/tags", "--json"];
    holds("gateway policy explain", &gateway.admin(&explain).expect_code(0).json(), &[]);
    holds("gateway policy show", &run(&["gateway", "policy", "show"], 0), &[]);
    holds("gateway workload list", &run(&["gateway", "workload", "list"], 0), &[]);
    let token = sandbox.write("token.jwt", "eyJhbGciOiJub25lIn0.e30.");
    let explain = ["gateway", "workload", "explain", token.to_str().unwrap()];
    holds("gateway workload explain", &run(&explain, 4), &[]);
    let mut bare = with_store("plaintext");
    bare.set_env("OLLAMA_HOST", "127.0.0.1:1");
    let tour = bare.command(["quickstart", "--yes", "--json"]).run().expect_code(0).json();
    holds("quickstart", &tour, &[]);

    let headings = page.lines().filter_map(|line| line.strip_prefix("## `"));
    let documented: BTreeSet<String> = headings.map(|heading| heading.trim_end_matches('`').to_owned()).collect();
    assert_eq!(*checked.borrow(), documented);
}

#[cfg(feature = "gateway")]
#[test]
fn the_pages_of_doctor_proxy_and_models_list_the_members_that_are_printed() {
    use crate::given::with_store;
    use crate::harness::gateway::Gateway;
    use crate::harness::http::Reply;
    use crate::harness::ollama::Ollama;
    use serde_json::{Value, json};

    let page = |name: &str| read(&Path::new("docs/reference").join(name));
    let members = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };

    let doctor = page("doctor.md");
    let report = with_store("plaintext").command(["doctor", "--offline", "--json"]).run().json();
    assert_eq!(members(&report), members_below(&doctor, "`--json`"));
    let (_, finding) = doctor.split_once("A finding has").unwrap();
    let finding: BTreeSet<String> =
        quoted(finding.split("\n\n").next().unwrap()).into_iter().map(str::to_owned).collect();
    let printed = members(&report["findings"][0]);
    assert!(printed.is_subset(&finding), "{printed:?} {finding:?}");

    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let proxy = device.command(["proxy", "--listen", "127.0.0.1:0", "--json"]).spawn();
    let said = proxy.wait_stderr(|text| text.contains("\"listening\""));
    let mut events = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let listening = events.find(|event| event["event"] == "listening").unwrap();
    assert_eq!(members(&listening), members_below(&page("proxy.md"), "`--json`"));
    proxy.signal(rustix::process::Signal::TERM);
    proxy.finish().expect_code(0);

    let models = page("models.md");
    ollama.route("POST", "/api/copy", |_| Reply::new(200, ""));
    ollama.route("DELETE", "/api/delete", |_| Reply::new(200, ""));
    ollama.route("POST", "/api/pull", |_| Reply::json(200, json!({ "status": "success" })));
    ollama.route("POST", "/api/generate", |_| Reply::json(200, json!({ "done": true, "done_reason": "unload" })));
    for args in [&["pull", "tiny"][..], &["stop", "tiny"], &["cp", "tiny", "other"], &["rm", "tiny"]] {
        let command = with_store("plaintext").command(args).args(["--json"]).env("OLLAMA_HOST", ollama.url()).run();
        let printed = members(&command.expect_code(0).json());
        let row = models.lines().find(|line| line.starts_with(&format!("| `{}` | `host`", args[0]))).unwrap();
        let documented: BTreeSet<String> = quoted(row).into_iter().skip(1).map(str::to_owned).collect();
        assert!(printed.is_subset(&documented), "{args:?}: {printed:?}");
    }
}
