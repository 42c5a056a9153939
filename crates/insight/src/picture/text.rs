//! How wide a text is, where it may be broken, and which characters it may have.

/// The widest that a character of the usual monospaced fonts is, in parts of the font's size: DejaVu
/// Sans Mono, Menlo, SF Mono, Liberation Mono and Consolas have 0.55 to 0.62.
const ADVANCE: f64 = 0.62;

/// Characters beside those of ASCII that pictures use; all of these fonts have them.
const OURS: [char; 5] = ['–', '·', '…', '≤', '×'];

/// How wide a [plain] text is.
pub fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * ADVANCE * size
}

/// How many characters there is room for: at least one.
pub fn room(width: f64, size: f64) -> usize {
    (width / (ADVANCE * size)).floor().max(1.0) as usize
}

/// A text of which every character is as wide as all others, and none does anything but stand there.
/// What is neither printable ASCII nor one of ours is written as `\u{202e}`.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            c if OURS.contains(&c) => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

/// The text in lines of at most so many characters. It is broken at spaces, and inside a word only if
/// that is longer than a line. There is at least one line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length: usize = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word: Vec<char> = word.chars().collect();
        let needed = length.saturating_add(word.len()).saturating_add(usize::from(length > 0));
        if length > 0 && needed > columns {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        while word.len() > columns {
            let rest = word.split_off(columns);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        if length > 0 {
            line.push(' ');
            length = length.saturating_add(1);
        }
        length = length.saturating_add(word.len());
        line.extend(word);
    }
    if length > 0 || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Things in a row, with commas between them, of which at most so many are named.
pub fn list<T: ToString>(all: impl ExactSizeIterator<Item = T>, most: usize) -> String {
    let more = all.len().saturating_sub(most);
    let named: Vec<String> = all.take(most).map(|one| one.to_string()).collect();
    match more {
        0 => named.join(", "),
        _ => format!("{} and {more} more", named.join(", ")),
    }
}

/// A number with its noun.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_spelt_out() {
        assert_eq!(plain("a · b"), "a · b");
        assert_eq!(plain("\u{202e}x\n\0ü字"), "\\u{202e}x\\u{a}\\u{0}\\u{fc}\\u{5b57}");
    }

    #[test]
    fn lines_are_broken_at_spaces_and_only_then_in_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("abcdef", 3), ["abc", "def"]);
        assert_eq!(wrap("", 3), [""]);
        assert_eq!(wrap("a", 0), ["a"]);
    }

    #[test]
    fn long_lists_say_how_many_they_leave_out() {
        assert_eq!(list([1, 2, 3].iter(), 3), "1, 2, 3");
        assert_eq!(list([1, 2, 3].iter(), 2), "1, 2 and 1 more");
    }
}
