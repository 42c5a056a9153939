//! How numbers are shown.

use super::text::{grouped, time};

#[test]
fn digits_come_in_groups_of_three() {
    for (digits, shown) in [
        ("0", "0"),
        ("999", "999"),
        ("1000", "1,000"),
        ("123456", "123,456"),
        ("1234567", "1,234,567"),
    ] {
        assert_eq!(grouped(digits), shown);
    }
}

#[test]
fn times_are_in_units_that_people_feel() {
    const YEAR: f64 = 31_557_600.0;
    for (seconds, shown) in [
        (0.0, "less than a second"),
        (0.4, "less than a second"),
        (1.0, "1 second"),
        (59.7, "1 minute"),
        (90.0, "2 minutes"),
        (7_200.0, "2 hours"),
        (86_400.0 * 3.0, "3 days"),
        (86_400.0 * 20.0, "3 weeks"),
        (YEAR, "1 year"),
        (YEAR * 35_678.0, "36,000 years"),
        (YEAR * 71.4e6, "71 million years"),
        (YEAR * 3e9, "3 billion years"),
        (YEAR * 1e15, "more than a trillion years"),
        (f64::MAX, "more than a trillion years"),
    ] {
        assert_eq!(time(seconds), shown, "{seconds}");
    }
}
