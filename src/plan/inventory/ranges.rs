//! `web[01:50]` and `db-[a:f]` as the names that they stand for. Knows no inventory.

/// Names that all ranges of an inventory may make.
pub const LIMIT: usize = 200_000;

/// Why a pattern stands for no names.
pub type Why = &'static str;

/// The names that a pattern stands for, in order; itself where it has no range.
///
/// # Errors
/// When a range has no end, goes from high to low, or makes more than [`LIMIT`] names.
pub fn expand(pattern: &str) -> Result<Vec<String>, Why> {
    let Some(open) = pattern.find('[') else { return Ok(vec![pattern.to_owned()]) };
    let (head, rest) = (&pattern[..open], &pattern[open + 1..]);
    let Some((range, tail)) = rest.split_once(']') else { return Err("has `[` without `]`") };
    let tails = expand(tail)?;
    let middles = members(range)?;
    if middles.len().saturating_mul(tails.len()) > LIMIT {
        return Err("stands for too many names");
    }
    let one = |middle: &String| tails.iter().map(|tail| format!("{head}{middle}{tail}")).collect::<Vec<_>>();
    Ok(middles.iter().flat_map(one).collect())
}

/// `01:50`, `a:f`, `1:9:2`.
fn members(range: &str) -> Result<Vec<String>, Why> {
    let parts: Vec<&str> = range.split(':').collect();
    let (from, to, step) = match parts[..] {
        [from, to] => (from, to, 1),
        [from, to, step] => (from, to, step.parse().ok().filter(|s| *s > 0).ok_or("has a step that is no number")?),
        _ => return Err("has a range that is not [FIRST:LAST]"),
    };
    let from = if from.is_empty() { "0" } else { from };
    if let ([a], [b]) = (from.as_bytes(), to.as_bytes())
        && a.is_ascii_alphabetic()
        && b.is_ascii_alphabetic()
    {
        return letters(*a, *b, step);
    }
    let digits = |text: &str| (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
    let (Some(Some(first)), Some(Some(last))) = (digits(from), digits(to)) else {
        return Err("has a range that is neither of numbers nor of letters");
    };
    let width = if from.len() > 1 && from.starts_with('0') { from.len() } else { 0 };
    if width > 0 && to.len() != width {
        return Err("has a range whose numbers are of different length");
    }
    numbers(first, last, step, width)
}

fn numbers(first: u64, last: u64, step: usize, width: usize) -> Result<Vec<String>, Why> {
    if first > last {
        return Err("has a range from high to low");
    }
    if (last - first) / step as u64 >= LIMIT as u64 {
        return Err("stands for too many names");
    }
    Ok((first..=last).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

/// Small letters come before capitals, as in `ansible`.
fn letters(first: u8, last: u8, step: usize) -> Result<Vec<String>, Why> {
    let all: Vec<u8> = (b'a'..=b'z').chain(b'A'..=b'Z').collect();
    let place = |letter| all.iter().position(|l| *l == letter).unwrap_or(0);
    let (first, last) = (place(first), place(last));
    if first > last {
        return Err("has a range from high to low");
    }
    Ok(all[first..=last].iter().step_by(step).map(|l| char::from(*l).to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &str) -> String {
        expand(pattern).map_or_else(|why| format!("{pattern} {why}"), |names| names.join(" "))
    }

    #[test]
    fn ranges_count_as_they_are_written() {
        assert_eq!(names("web[08:11]"), "web08 web09 web10 web11");
        assert_eq!(names("web[8:11].x"), "web8.x web9.x web10.x web11.x");
        assert_eq!(names("db-[a:c]"), "db-a db-b db-c");
        assert_eq!(names("n[1:9:4]"), "n1 n5 n9");
        assert_eq!(names("[a:b]-[1:2]"), "a-1 a-2 b-1 b-2");
        assert_eq!(names("x[:2]"), "x0 x1 x2");
        assert_eq!(names("plain"), "plain");
    }

    #[test]
    fn broken_ranges_say_what_is_wrong_and_build_nothing_huge() {
        assert_eq!(names("x[9:1]"), "x[9:1] has a range from high to low");
        assert_eq!(names("x[z:b]"), "x[z:b] has a range from high to low");
        assert_eq!(names("x[1:"), "x[1: has `[` without `]`");
        assert_eq!(names("x[1]"), "x[1] has a range that is not [FIRST:LAST]");
        assert_eq!(names("x[01:100]"), "x[01:100] has a range whose numbers are of different length");
        assert_eq!(names("x[a:3]"), "x[a:3] has a range that is neither of numbers nor of letters");
        assert_eq!(
            names("x[0:99999999999999999999]"),
            "x[0:99999999999999999999] has a range that is neither of numbers nor of letters"
        );
        assert_eq!(names("x[0:9999999999]"), "x[0:9999999999] stands for too many names");
        assert_eq!(names("x[1:900][1:900]"), "x[1:900][1:900] stands for too many names");
    }
}
