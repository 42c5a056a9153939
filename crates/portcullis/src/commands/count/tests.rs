//! What is said of the numbers.

use super::*;

fn subject(knocks: usize, ports: u16, protocols: &[Protocol]) -> Subject {
    Subject::new(None, knocks, 0, 2, &Usable::first(ports, protocols))
}

fn answer(subjects: Vec<Subject>) -> Answer {
    Answer { subjects, rates: RATES.to_vec(), ban: Ban::default(), banned: false }
}

/// Without the styles, as on no terminal.
fn render(answer: &Answer) -> String {
    anstream::adapter::strip_str(&text::render(answer)).to_string()
}

#[test]
fn the_count_of_the_issue_is_shown() {
    let answer = answer(vec![subject(3, 65_534, &[Protocol::Tcp])]);
    let text = render(&answer);
    assert!(text.contains(" 187,624,215,805,936\n"), "{text}");
    let object: serde_json::Value = serde_json::from_str(&json::render(&answer)).unwrap();
    let once = &object["counts"][0]["rules"]["each_port_once"];
    assert_eq!(once["and_numbers_turn"], "187624215805936");
}

#[test]
fn the_most_knocks_are_counted_to_the_last_digit() {
    let answer = answer(vec![subject(32, u16::MAX, &[Protocol::Tcp, Protocol::Udp])]);
    let text = render(&answer);
    let digits = text.split(' ').next().unwrap().chars().filter(char::is_ascii_digit).count();
    assert_eq!(digits, 164, "{text}");
    assert!(!text.contains("inf") && !text.contains("NaN"), "{text}");
}

#[test]
fn what_cannot_be_counted_is_an_upper_bound_and_says_so() {
    let most = Subject::new(None, 8, 16, 16, &Usable::first(30, &[Protocol::Tcp, Protocol::Udp]));
    assert!(most.strength().is_some_and(|strength| !strength.exact));
    let text = render(&answer(vec![most]));
    assert!(text.starts_with("at most ") && text.contains(" slightly fewer\n"), "{text}");
}

#[test]
fn one_and_two_knocks_are_always_in_order() {
    for knocks in [1, 2] {
        let answer = answer(vec![subject(knocks, 100, &[Protocol::Tcp, Protocol::Udp])]);
        let text = render(&answer);
        assert!(text.starts_with("0 sequences, 0.0 bits\n"), "{text}");
    }
}
