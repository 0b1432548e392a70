//! Durations that people have already, as CSV: a heading, then one line for each time that a step was done. Reads text;
//! keeps nothing.

use jiff::{SignedDuration, Timestamp};

use crate::journal::history::Duration;
use crate::plan::units::parse_duration;

/// The columns that are read; all others are left alone.
#[derive(Debug, Default)]
struct Columns {
    step: Option<usize>,
    took: Option<usize>,
    seconds: Option<usize>,
    group: Option<usize>,
    at: Option<usize>,
    state: Option<usize>,
    direction: Option<usize>,
}

/// Reads all lines. A line without a time is of `now`.
///
/// # Errors
/// Every line that cannot be read, as `LINE: why`.
pub fn read(text: &str, now: Timestamp) -> Result<Vec<Duration>, Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let Some((number, heading)) = lines.next() else { return Err(vec!["1: the file is empty".into()]) };
    let columns = columns(heading).map_err(|why| vec![format!("{number}: {why}")])?;
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in lines {
        match fields(line).and_then(|fields| columns.duration(&fields, now)) {
            Ok(duration) => all.extend(duration),
            Err(why) => wrong.push(format!("{number}: {why}")),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
}

fn columns(heading: &str) -> Result<Columns, String> {
    let names = fields(heading)?;
    let place = |wanted: &[&str]| names.iter().position(|n| wanted.contains(&n.trim().to_lowercase().as_str()));
    let columns = Columns {
        step: place(&["step"]),
        took: place(&["took"]),
        seconds: place(&["duration_s", "took_s"]),
        group: place(&["group"]),
        at: place(&["at", "end"]),
        state: place(&["state"]),
        direction: place(&["direction"]),
    };
    match columns {
        Columns { step: Some(_), took: Some(_), .. } | Columns { step: Some(_), seconds: Some(_), .. } => Ok(columns),
        _ => Err("the first line names the columns: `step`, and `took` (20m) or `duration_s` (1200)".into()),
    }
}

impl Columns {
    /// `None` for a line about something that was not done.
    fn duration(&self, fields: &[String], now: Timestamp) -> Result<Option<Duration>, String> {
        let field = |at: Option<usize>| at.and_then(|i| fields.get(i)).map_or("", |f| f.trim());
        let step = field(self.step);
        if step.is_empty() {
            return Err("it names no step".into());
        }
        if !matches!(field(self.state).to_lowercase().as_str(), "" | "done" | "undone") {
            return Ok(None);
        }
        let undone = match field(self.direction) {
            "" | "do" => false,
            "undo" => true,
            other => return Err(format!("`{}` is no direction: do or undo", other.escape_debug())),
        };
        let took = match (field(self.took), field(self.seconds)) {
            ("", "") => return Ok(None),
            ("", seconds) => of_seconds(seconds)?,
            (took, _) => parse_duration(took)
                .map_err(|_| format!("`{}` is no duration: write 20m, 1h30m or 90s", took.escape_debug()))?,
        };
        let at = match field(self.at) {
            "" => now,
            at => time(at).ok_or_else(|| {
                format!("`{}` is no time: write 2007-12-02 or 2007-12-02T05:01:00-05:00", at.escape_debug())
            })?,
        };
        let group = field(self.group).to_owned();
        Ok(Some(Duration { step: step.into(), group, undone, at, hosts: 1, least: took, median: took, most: took }))
    }
}

fn of_seconds(text: &str) -> Result<SignedDuration, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| *s >= 0.0);
    let duration = seconds.and_then(|s| SignedDuration::try_from_secs_f64(s).ok());
    duration.ok_or_else(|| format!("`{}` is no number of seconds", text.escape_debug()))
}

fn time(text: &str) -> Option<Timestamp> {
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    text.parse().ok().or_else(|| day().map(|zoned| zoned.timestamp()))
}

/// The fields of a line, as RFC 4180 has them; one that goes on in the next line is not.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let (mut all, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    if quoted {
        return Err("a quote is opened and not closed".into());
    }
    all.push(field);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_now(text: &str) -> Result<Vec<Duration>, Vec<String>> {
        read(text, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_people_have_in_a_table_is_read() {
        let text = "\u{feff}Step,Group,Took,At,remark\r\nbackup-db,db,15m,2007-11-02,\"slow, but fine\"\r\n\r\ndeploy,,1h30m,,\r\n";
        let all = read_now(text).unwrap();
        let short: Vec<_> = all.iter().map(|d| (d.step.as_str(), d.group.as_str(), d.median.as_mins(), d.at)).collect();
        let day = "2007-11-02T00:00:00Z".parse().unwrap();
        assert_eq!(short, [("backup-db", "db", 15, day), ("deploy", "", 90, Timestamp::UNIX_EPOCH)]);
    }

    #[test]
    fn the_table_of_a_report_is_read() {
        let text = "step,state,expected_s,worst_s,start,end,duration_s\r\n\
                    backup,DONE,900,1200,2007-12-02T01:40:00.000-05:00,2007-12-02T01:45:00.000-05:00,300.000\r\n\
                    deploy,FAILED,900,1200,2007-12-02T01:40:00.000-05:00,2007-12-02T01:45:00.000-05:00,300.000\r\n\
                    later,waiting,900,1200,,,\r\n";
        let all = read_now(text).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((all[0].median.as_mins(), all[0].at.to_string().as_str()), (5, "2007-12-02T06:45:00Z"));
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let text =
            "step,took,at,direction\na,20,,\n,20m,,\nb,20m,yesterday,\nc,20m,,sideways\nd,\"20m,,\ne,20m,,undo\n";
        let wrong = read_now(text).unwrap_err();
        assert_eq!(
            wrong,
            [
                "2: `20` is no duration: write 20m, 1h30m or 90s",
                "3: it names no step",
                "4: `yesterday` is no time: write 2007-12-02 or 2007-12-02T05:01:00-05:00",
                "5: `sideways` is no direction: do or undo",
                "6: a quote is opened and not closed",
            ]
        );
        assert!(read_now("name,took\na,5m\n").unwrap_err()[0].starts_with("1: the first line names the columns"));
        assert_eq!(read_now(" \n").unwrap_err(), ["1: the file is empty"]);
    }
}
