//! The command that an image stands for on this machine. In: the text of `--image`. Out: a program
//! and its first arguments. Pure.

use std::path::PathBuf;

/// The program and its first arguments. A path is never split, whatever characters it has.
/// Arguments need a JSON array, like Docker's exec form. A relative path that begins with `[` can
/// be written as `./[…`.
pub(crate) fn command_words(command: &str) -> Result<Vec<String>, String> {
    if !command.starts_with('[') {
        return Ok(vec![command.to_owned()]);
    }
    match serde_json::from_str::<Vec<String>>(command) {
        Ok(words) if words.first().is_some_and(|program| !program.is_empty()) => Ok(words),
        _ => Err(format!(
            "{command} is neither a path nor a JSON array of a program and its arguments, as in [\"/bin/sleep\",\"60\"]"
        )),
    }
}

/// The program and the first arguments of an image. A relative path starts at the sandbox's working
/// directory at start.
pub(super) fn command_line(command: &str) -> Option<(PathBuf, Vec<String>)> {
    let mut words = command_words(command).ok()?.into_iter();
    let program = PathBuf::from(words.next()?);
    let program = if program.components().count() > 1 && program.is_relative() {
        std::path::absolute(&program).unwrap_or(program)
    } else {
        program
    };
    Some((program, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_not_split_and_arrays_give_arguments() {
        for path in ["/a b/c", "/it's/50%/x=y", "/\u{e9}t\u{e9}/\"q\"", " /leading", "./[x]/y"] {
            assert_eq!(command_words(path), Ok(vec![path.to_owned()]));
        }
        let words = vec!["/a b/sh".to_owned(), "-c".to_owned()];
        assert_eq!(command_words(r#"["/a b/sh", "-c"]"#), Ok(words));
        for wrong in ["[]", "[\"\"]", "[1]", "[\"/bin/sh\"", "[x]/y"] {
            assert!(command_words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_relative_paths_get_the_working_directory() {
        let program = |command: &str| command_line(command).map(|(program, _)| program);
        assert_eq!(program("generator"), Some("generator".into()));
        assert_eq!(program("/bin/generator"), Some("/bin/generator".into()));
        let here = std::env::current_dir().unwrap();
        assert_eq!(program("./bin/generator"), Some(here.join("bin/generator")));
    }
}
