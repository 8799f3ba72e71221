//! Quotes text for a POSIX shell. In: any text. Out: one word that the shell reads back as that
//! text. Pure.

/// The text as one shell word, quoted only if necessary.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,@%=:".contains(&byte);
    // zsh treats `=` at the beginning of a word specially.
    if !text.is_empty() && !text.starts_with('=') && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_any_text() {
        for text in [
            "/plain/path-1.x",
            "",
            "a b",
            "it's",
            "\"q\"",
            "$HOME `id` \\",
            "x=y",
            "50%",
            "\u{e9}t\u{e9}",
            "two\nlines",
            "~",
            "#",
            "*",
        ] {
            let script = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
        assert_eq!(quoted("/plain/path-1.x"), "/plain/path-1.x");
    }
}
