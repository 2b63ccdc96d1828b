//! The book in docs/ and the pages beside it: every link leads somewhere, and every page is in the book's table of contents.

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
