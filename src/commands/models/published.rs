//! Where a model of some name is published: `[[http[s]://]HOST/][NAMESPACE/]MODEL[:TAG]`, as stock Ollama reads it. Pure.

const REGISTRY: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";
const TAG: &str = "latest";

/// The parts of a name. Whether they are valid is for the server to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published<'a> {
    registry: &'a str,
    /// Whose it is; `library` where none is named.
    pub namespace: &'a str,
    /// The model without its tag.
    pub model: &'a str,
    tag: &'a str,
    /// Whether the name itself holds a tag.
    pub has_tag: bool,
}

impl<'a> Published<'a> {
    /// Reads a name.
    pub fn read(name: &'a str) -> Self {
        let (path, tag) = match name.rsplit_once(':') {
            // A slash cannot be part of a tag: that colon belongs to a port or a scheme.
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        let (rest, model) = path.rsplit_once('/').unwrap_or(("", path));
        let (registry, namespace) = rest.rsplit_once('/').unwrap_or(("", rest));
        let registry = registry.split_once("://").map_or(registry, |(_, registry)| registry);
        let or = |text: &'a str, default: &'static str| if text.is_empty() { default } else { text };
        Self {
            registry: or(registry, REGISTRY),
            namespace: or(namespace, NAMESPACE),
            model,
            tag: or(tag.unwrap_or_default(), TAG),
            has_tag: tag.is_some(),
        }
    }

    /// Whether it goes to ollama.com, under the account of the server.
    pub fn is_at_ollama_com(&self) -> bool {
        let registry = self.registry.to_ascii_lowercase();
        let domains = ["ollama.ai", "ollama.com"];
        domains
            .iter()
            .any(|domain| registry.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    }

    /// Whether it is in the registry that is meant when none is named.
    pub fn is_in_default_registry(&self) -> bool {
        self.registry.eq_ignore_ascii_case(REGISTRY)
    }

    /// Whether it names nobody whose it is.
    pub fn is_nobodys(&self) -> bool {
        self.namespace.eq_ignore_ascii_case(NAMESPACE)
    }

    /// Where people find it: a page of ollama.com, else the full name.
    pub fn place(&self) -> String {
        let Self { registry, namespace, model, tag, .. } = self;
        if !self.is_at_ollama_com() {
            return format!("{registry}/{namespace}/{model}:{tag}");
        }
        let namespace = if self.is_nobodys() { String::new() } else { format!("{namespace}/") };
        let tag = if *tag == TAG { String::new() } else { format!(":{tag}") };
        format!("https://ollama.com/{namespace}{model}{tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_stock_reads_them() {
        for (name, place) in [
            ("tiny", "https://ollama.com/tiny"),
            ("ada/tiny", "https://ollama.com/ada/tiny"),
            ("ada/tiny:latest", "https://ollama.com/ada/tiny"),
            ("ada/tiny:8b", "https://ollama.com/ada/tiny:8b"),
            ("registry.ollama.ai/library/tiny", "https://ollama.com/tiny"),
            ("Registry.Ollama.AI/ada/tiny", "https://ollama.com/ada/tiny"),
            ("localhost:5000/ada/tiny", "localhost:5000/ada/tiny:latest"),
            ("http://localhost:5000/ada/tiny:8b", "localhost:5000/ada/tiny:8b"),
            ("hf.co/ada/tiny", "hf.co/ada/tiny:latest"),
        ] {
            assert_eq!(Published::read(name).place(), place, "{name}");
        }
        let plain = Published::read("tiny");
        assert!(plain.is_nobodys() && plain.is_in_default_registry() && !plain.has_tag);
        assert!(Published::read("ollama.com/ada/tiny").is_at_ollama_com());
        assert!(!Published::read("evil-ollama.com/a/b").is_at_ollama_com());
        assert!(Published::read("ada/tiny:8b").has_tag && !Published::read("h:1/a/b").has_tag);
    }
}
