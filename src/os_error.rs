//! The numbers of system errors, which tell a person nothing that the words before them do not.

/// A text without what the standard library adds to system errors: ` (os error 98)`.
pub fn without_codes(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| match part.split_once(')') {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => kept + rest,
        _ => format!("{kept} (os error {part}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_system_errors_are_left_out() {
        assert_eq!(without_codes("a (os error 2); b (os error x) (os error 13)"), "a; b (os error x)");
        assert_eq!(without_codes("nothing of the kind"), "nothing of the kind");
    }
}
