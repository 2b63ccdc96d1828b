//! The commented file of `gateway init`, and the table of the documentation.

use super::Config;
use super::settings::SETTINGS;

/// Every setting with its explanation, each at its default and commented out.
pub fn commented_file() -> String {
    let mut text = String::from(
        "# Settings of `ollama-auth gateway serve`. Each is shown at its default: take the # away to change one.\n\
         # Environment variables (OLLAMA_AUTH_GATEWAY_LISTEN, …) and flags go before this file. Sizes are 100MB, 16MiB\n\
         # or none; times 30s, 2m or 1h. Paths count from the folder of this file.\n",
    );
    let defaults = Config::default();
    for setting in &SETTINGS {
        let restart = if setting.restart { " A change needs a restart." } else { "" };
        text += &format!(
            "\n# {}{restart}\n# Value: {}.\n#{} = {}\n",
            setting.explanation,
            setting.expected,
            setting.name,
            (setting.show)(&defaults)
        );
    }
    text
}

/// The table of all settings in Markdown: what `docs/reference/settings.md` is held against.
#[cfg(test)]
pub fn documentation() -> String {
    let defaults = Config::default();
    let mut text = String::from("| setting | default | value | what it is for |\n|---|---|---|---|\n");
    for setting in &SETTINGS {
        let star = if setting.restart { " \\*" } else { "" };
        let shown = (setting.show)(&defaults);
        text += &format!("| `{}`{star} | `{shown}` | {} | {} |\n", setting.name, setting.expected, setting.explanation);
    }
    text
}
