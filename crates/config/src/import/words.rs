//! A command line split into words, as a shell would, if nothing in it needs a shell.

/// The words of a simple command; `None` if a shell would do more with it than split it: pipes,
/// variables, patterns, comments, several commands. `%IP%` is a word like any other.
pub fn split(command: &[u8]) -> Option<Vec<String>> {
    let mut words = Vec::new();
    // A word may be empty if it was quoted.
    let mut word: Option<String> = None;
    let mut brace = false;
    let mut chars = std::str::from_utf8(command).ok()?.chars().chain([' ']);
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => {
                // Some shells make several words of `{a,b}`.
                if brace && word.as_ref().is_some_and(|word| word.contains(',')) {
                    return None;
                }
                brace = false;
                words.extend(word.take());
            }
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '$' | '`' | '\\' if c == '"' => return None,
                        inside => word.push(inside),
                    }
                }
            }
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '\\' | '*' | '?' | '[' | ']'
            | '#' | '~' => return None,
            _ => {
                brace |= c == '{';
                word.get_or_insert_default().push(c);
            }
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_and_quotes_removed() {
        for (command, words) in [
            ("", &[][..]),
            ("  a\tb  c ", &["a", "b", "c"]),
            ("a 'b  c' \"d 'e\" f'g'\"h\"", &["a", "b  c", "d 'e", "fgh"]),
            ("a '' \"\"", &["a", "", ""]),
            ("-s %IP% --dport=22", &["-s", "%IP%", "--dport=22"]),
            ("dport { 22, 80 } accept", &["dport", "{", "22,", "80", "}", "accept"]),
            ("'$x' ';' '*'", &["$x", ";", "*"]),
        ] {
            assert_eq!(split(command.as_bytes()).unwrap(), words, "{command}");
        }
    }

    #[test]
    fn what_a_shell_must_read_is_left_to_it() {
        for command in [
            "a; b", "a && b", "a | b", "a > b", "$a", "\"$a\"", "`a`", "a\\ b", "\"a\\\"", "*",
            "a?", "[a]", "# a", "~/a", "(a)", "'a", "\"a", "{a,b}", "x{a,b}",
        ] {
            assert_eq!(split(command.as_bytes()), None, "{command}");
        }
        assert_eq!(split(b"\xff"), None);
    }
}
