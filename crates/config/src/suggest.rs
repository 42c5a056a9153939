//! "Did you mean": the known word that is nearest to a wrong one.

/// Advice on a word that is none of `known`, of which `near` is the nearest.
pub fn hint(near: Option<&str>, known: &[&str]) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => match known {
            [one] => format!("the only known name is `{one}`"),
            _ => {
                let all: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
                format!("known names: {}", all.join(", "))
            }
        },
    }
}

/// The known word that differs least, if it differs in a third of its letters or less.
///
/// This takes a microsecond or so; files with a million unknown words are not helped by it.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // No misspelling is so long, and the comparison takes time in proportion.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|known| (distance(&word, &known.replace('-', "_")), *known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to insert, remove or replace (Levenshtein), by the usual table of which two rows matter.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(from != *to));
            left = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let known = ["guards", "sequence", "step_timeout", "open_for", "like-closed"];
        for (word, near) in [
            ("guard", Some("guards")),
            ("sequense", Some("sequence")),
            ("seq_timeout", Some("step_timeout")),
            ("step-timeout", Some("step_timeout")),
            ("Open_For", Some("open_for")),
            ("like_closed", Some("like-closed")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
