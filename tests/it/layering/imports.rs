//! The import graph of a crate, file by file: which file uses a name that another file defines.
//!
//! Paths are resolved as the compiler does, as far as this crate needs it: `use` with groups and aliases, `crate::`, `super::` and
//! `self::`, paths in the midst of code, and re-exports, which are followed to the file that defines the name. Test modules are left
//! out. Methods are not resolved: whoever calls one has imported its type from somewhere.
//!
//! What a file uses of the modules that it is part of is no import: a parent shares its definitions with its children, and calls them.

use std::collections::{BTreeMap, BTreeSet};

/// A module: its names from the root of the crate.
type Module = Vec<String>;

/// What one file says about names.
#[derive(Default)]
struct File {
    /// The names that `use` brings into scope, as they are known here, and where they come from.
    imports: BTreeMap<String, Vec<String>>,
    /// The modules of which all names are imported.
    globs: Vec<Vec<String>>,
    /// The imported names that are only passed on.
    passed_on: BTreeSet<String>,
    /// The items defined here.
    items: BTreeSet<String>,
    /// Modules that hold nothing but tests.
    test_modules: BTreeSet<String>,
    /// Paths of two and more names in the code.
    paths: Vec<Vec<String>>,
}

/// From a file to the files that it uses.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// The import graph of the files of a `src` folder: pairs of a path, such as `gateway/mod.rs`, and a text.
pub fn graph(sources: &[(String, String)]) -> Graph {
    let mut files: BTreeMap<Module, (String, File)> = BTreeMap::new();
    for (path, text) in sources {
        files.insert(module_of(path), (path.clone(), read(&tokens(text))));
    }
    let tests: BTreeSet<Module> =
        files.iter().flat_map(|(module, (_, file))| file.test_modules.iter().map(|name| child(module, name))).collect();
    files.retain(|module, _| (0..=module.len()).all(|length| !tests.contains(&module[..length])));
    let mut graph = Graph::new();
    for (module, (path, file)) in &files {
        let used = graph.entry(path.clone()).or_default();
        let imported = file.imports.iter().filter(|(name, _)| !file.passed_on.contains(*name)).map(|(_, path)| path);
        for name in imported.chain(&file.globs).chain(&file.paths) {
            if let Some(target) = resolve(&files, module, name, 0).filter(|target| !module.starts_with(target)) {
                used.insert(files[&target].0.clone());
            }
        }
    }
    graph
}

/// The groups of files that use each other in a circle, each with the imports that hold it together.
pub fn cycles(graph: &Graph) -> Vec<Vec<String>> {
    let reachable: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|file| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![file]);
            while let Some(file) = open.pop() {
                open.extend(graph.get(file).into_iter().flatten().filter(|used| seen.insert(*used)));
            }
            (file, seen)
        })
        .collect();
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for file in graph.keys().filter(|file| reachable[file].contains(file)) {
        let together: BTreeSet<&String> =
            reachable[file].iter().filter(|other| reachable[*other].contains(file)).copied().collect();
        if done.insert(together.clone()) {
            let inside = |file: &String| {
                let used = graph[file].iter().filter(|used| together.contains(used));
                used.map(|used| format!("{file} -> {used}")).collect::<Vec<_>>()
            };
            found.push(together.iter().flat_map(|file| inside(file)).collect());
        }
    }
    found
}

fn module_of(path: &str) -> Module {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

fn child(module: &[String], name: &str) -> Module {
    let mut child = module.to_vec();
    child.push(name.to_owned());
    child
}

/// The module whose file defines what a path means in `module`; `None` for what other crates define, and for a module as such: what is
/// used of it counts.
fn resolve(
    files: &BTreeMap<Module, (String, File)>,
    module: &[String],
    path: &[String],
    depth: usize,
) -> Option<Module> {
    // Names that import each other do not compile; a glob may lead back.
    if depth > 16 {
        return None;
    }
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => return within(files, &[], rest, depth),
        "self" => return within(files, module, rest, depth),
        "super" => return within(files, module.split_last()?.1, rest, depth),
        _ => {}
    }
    let (_, file) = files.get(module)?;
    // Nothing of ours: another crate, or a name of the language.
    let known = file.imports.contains_key(first) || files.contains_key(&child(module, first));
    known.then(|| within(files, module, path, depth)).flatten()
}

fn within(
    files: &BTreeMap<Module, (String, File)>,
    module: &[String],
    path: &[String],
    depth: usize,
) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    if first == "super" {
        return within(files, module.split_last()?.1, rest, depth);
    }
    let below = child(module, first);
    if files.contains_key(&below) {
        return within(files, &below, rest, depth);
    }
    let (_, file) = files.get(module)?;
    if let Some(origin) = file.imports.get(first) {
        let whole: Vec<String> = origin.iter().chain(rest).cloned().collect();
        return resolve(files, module, &whole, depth + 1);
    }
    if !file.items.contains(first) {
        let found = file.globs.iter().find_map(|glob| {
            let whole: Vec<String> = glob.iter().chain(path).cloned().collect();
            resolve(files, module, &whole, depth + 1)
        });
        if found.is_some() {
            return found;
        }
    }
    (file.items.contains(first) || first == "*").then(|| module.to_vec())
}

/// Words, `::`, and single signs; without comments, texts and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while at < chars.len() {
        let next = |ahead: usize| chars.get(at + ahead).copied().unwrap_or_default();
        match chars[at] {
            '/' if next(1) == '/' => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            '/' if next(1) == '*' => {
                let end = chars[at..].windows(2).position(|pair| pair == ['*', '/']);
                at += end.map_or(chars.len(), |end| end + 2);
            }
            '"' => {
                at += 1;
                while at < chars.len() && chars[at] != '"' {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            // A text without escapes: it ends at a quote with as many signs behind it.
            'r' if next(1) == '"' || (next(1) == '#' && matches!(next(2), '#' | '"')) => {
                let signs = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', signs)).collect();
                let begin = at + 2 + signs;
                let length = chars[begin..].windows(end.len()).position(|window| window == end);
                at = length.map_or(chars.len(), |length| begin + length + end.len());
            }
            '\'' if next(1) == '\\' => {
                at += 3;
                at += chars[at.min(chars.len())..].iter().take_while(|c| **c != '\'').count() + 1;
            }
            '\'' if next(2) == '\'' => at += 3,
            '\'' => at += 1 + chars[at + 1..].iter().take_while(|c| is_word(**c)).count(),
            ':' if next(1) == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            c if is_word(c) => {
                let word: String = chars[at..].iter().take_while(|c| is_word(**c)).collect();
                at += word.chars().count();
                // `b"…"` and its like are texts, not words.
                if !(chars.get(at) == Some(&'"') && matches!(word.as_str(), "b" | "c" | "br" | "cr")) {
                    tokens.push(word);
                }
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

fn read(tokens: &[String]) -> File {
    let mut file = File::default();
    let mut re_exported = BTreeSet::new();
    let mut words = BTreeSet::new();
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let (mut at, mut is_test, mut is_public) = (0, false, false);
    while at < tokens.len() {
        match token(at) {
            "#" if token(at + 1) == "[" || token(at + 2) == "[" => {
                let begin = at + 1 + usize::from(token(at + 1) == "!");
                let end = closing(tokens, begin);
                let cfg: Vec<&str> = tokens[begin + 1..end].iter().map(String::as_str).collect();
                is_test |=
                    cfg.starts_with(&["cfg", "(", "test", ")"]) || cfg.starts_with(&["cfg", "(", "any", "(", "test"]);
                at = end + 1;
                continue;
            }
            "pub" => {
                is_public = true;
                at += 1;
                if token(at) == "(" {
                    at = closing(tokens, at) + 1;
                }
                continue;
            }
            "mod" if token(at + 2) == ";" => {
                if is_test {
                    file.test_modules.insert(token(at + 1).to_owned());
                }
                at += 2;
            }
            "mod" if is_test && token(at + 2) == "{" => at = closing(tokens, at + 2),
            "use" => {
                let end = at + tokens[at..].iter().position(|token| token == ";").unwrap_or(tokens.len() - at);
                let names = use_tree(&tokens[at + 1..end], &[], &mut file);
                if is_public {
                    re_exported.extend(names);
                }
                at = end;
            }
            "struct" | "enum" | "fn" | "const" | "static" | "trait" | "type" | "union" | "macro_rules" => {
                let name = tokens[at + 1..]
                    .iter()
                    .find(|token| !matches!(token.as_str(), "!" | "mut" | "unsafe" | "async" | "fn"));
                file.items.extend(name.cloned());
            }
            first if token(at + 1) == "::" && is_name(first) && (at == 0 || token(at - 1) != "::") => {
                let mut path = vec![first.to_owned()];
                while token(at + 1) == "::" && is_name(token(at + 2)) {
                    path.push(token(at + 2).to_owned());
                    at += 2;
                }
                words.insert(path[0].clone());
                file.paths.push(path);
            }
            word => {
                words.insert(word.to_owned());
            }
        }
        (is_test, is_public) = (false, false);
        at += 1;
    }
    file.passed_on = re_exported.difference(&words).cloned().collect();
    file
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Where the bracket that opens at `begin` closes.
fn closing(tokens: &[String], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

/// Reads what stands between `use` and `;`, or within the braces of it. Returns the names that it brings into scope.
fn use_tree(tokens: &[String], before: &[String], file: &mut File) -> Vec<String> {
    let mut names = Vec::new();
    let mut path = before.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                let end = closing(tokens, at);
                let inner = &tokens[at + 1..end];
                let mut begin = 0;
                while begin < inner.len() {
                    let mut stop = begin;
                    while stop < inner.len() && inner[stop] != "," {
                        stop = if inner[stop] == "{" { closing(inner, stop) + 1 } else { stop + 1 };
                    }
                    names.extend(use_tree(&inner[begin..stop], &path, file));
                    begin = stop + 1;
                }
                return names;
            }
            "*" => {
                file.globs.push(path);
                return names;
            }
            "as" => {
                let alias = tokens[at + 1].clone();
                file.imports.insert(alias.clone(), path);
                names.push(alias);
                return names;
            }
            "::" => {}
            // `{self}`: the module itself.
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    if let Some(name) = path.last().cloned() {
        file.imports.insert(name.clone(), path);
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles_of(sources: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources: Vec<_> = sources.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        cycles(&graph(&sources))
    }

    #[test]
    fn a_planted_cycle_is_found_however_it_is_written() {
        for (a, b) in [
            ("use crate::b::B; pub struct A;", "use crate::a::A; pub struct B;"),
            ("use super::b::{B, C}; pub struct A;", "pub struct B; pub struct C; fn f() { crate::a::A; }"),
            (
                "use crate::{b::{self, D}, c::C}; pub struct A; fn f(b: b::B) {}",
                "use super::a; pub struct B; type D = a::A;",
            ),
            (
                "use self::inner::X; use crate::b::B as Other; pub struct A;",
                "pub struct B; fn f() { use crate::a::A; }",
            ),
            ("pub use crate::b::B; pub struct A; fn f(b: B) {}", "use crate::a::A; pub struct B;"),
        ] {
            let found = cycles_of(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)]);
            assert_eq!(found, [["a.rs -> b.rs", "b.rs -> a.rs"]], "{a} {b}");
        }
    }

    #[test]
    fn re_exports_are_followed_to_the_file_that_defines_the_name() {
        let parent = ("x/mod.rs", "mod a; mod b; mod c; pub use a::A; pub use b::{B}; pub use c::*;");
        let a = ("x/a.rs", "use super::B; pub struct A;");
        assert!(
            cycles_of(&[parent, a, ("x/b.rs", "use crate::y::Y; pub struct B;"), ("y.rs", "pub struct Y;")]).is_empty()
        );
        let through = cycles_of(&[parent, a, ("x/b.rs", "pub struct B; fn f() { super::super::x::A; }")]);
        assert_eq!(through, [["x/a.rs -> x/b.rs", "x/b.rs -> x/a.rs"]]);
        let by_glob = cycles_of(&[
            parent,
            ("x/a.rs", "use crate::x::C; pub struct A;"),
            ("x/c.rs", "use super::A; pub struct C;"),
        ]);
        assert_eq!(by_glob, [["x/a.rs -> x/c.rs", "x/c.rs -> x/a.rs"]]);
    }

    #[test]
    fn a_parent_shares_its_definitions_with_its_children() {
        let child = ("x/a.rs", "use super::helper; pub struct A;");
        assert!(cycles_of(&[("x/mod.rs", "mod a; pub fn helper(a: a::A) {}"), child]).is_empty());
        // But with other folders a parent is a file like any other.
        let parent = ("x/mod.rs", "mod a; use crate::y::Y; pub fn helper(a: a::A) {}");
        let found = cycles_of(&[parent, child, ("y.rs", "use crate::x::helper; pub struct Y;")]);
        assert_eq!(found, [["x/mod.rs -> y.rs", "y.rs -> x/mod.rs"]]);
        let round = cycles_of(&[parent, child, ("y.rs", "use crate::x::a::A; pub struct Y;")]);
        assert!(round.is_empty(), "the child does not use y");
    }

    #[test]
    fn tests_comments_and_texts_are_no_imports() {
        let b = ("b.rs", "use crate::a::A; pub struct B;");
        for a in [
            "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
            "pub struct A; // crate::b::B\n/* use crate::b::B; */",
            "pub struct A; const C: &str = \"crate::b::B\"; const D: &str = r#\"use crate::b::B; \"\"#;",
            "pub struct A; const C: char = '\"'; // \"\nfn f<'a>(a: &'a str) -> char { '\\'' }",
            "pub struct A; #[cfg(test)] mod tests;",
        ] {
            let files = [("a.rs", a), b, ("a/tests.rs", "use crate::b::B; use super::A;")];
            assert!(cycles_of(&files[..2 + usize::from(a.ends_with("tests;"))]).is_empty(), "{a}");
        }
    }
}
