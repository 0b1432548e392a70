//! Reads the usual test files of project scheduling (`.sm` of PSPLIB) and writes them as a plan. Knows nothing of disks.
//!
//! The format: R. Kolisch, A. Sprecher, "PSPLIB - a project scheduling problem library", 1997. Activities without a
//! duration only connect others: they are left out, and what needs them needs what they need.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// One activity as the file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Activity {
    needs: Vec<usize>,
    duration: u32,
    uses: Vec<u32>,
}

/// The text of a plan called `name`: activities are steps of this machine that change nothing, a unit of time is a minute.
///
/// # Errors
/// What is missing or wrong in the file, with its line.
pub fn plan_from(name: &str, text: &str) -> Result<String, String> {
    let (activities, capacity) = read(text)?;
    let mut out = String::from("runbook: 1\n");
    let _ = writeln!(out, "name: {name}, {} activities", activities.iter().filter(|a| a.duration > 0).count());
    let resource = |(i, units): (usize, &u32)| format!("R{}: {units}", i + 1);
    let _ =
        writeln!(out, "resources: {{{}}}", capacity.iter().enumerate().map(resource).collect::<Vec<_>>().join(", "));
    out.push_str("defaults: {hosts: local, read_only: true}\nsteps:\n");
    for (i, activity) in activities.iter().enumerate().filter(|(_, a)| a.duration > 0) {
        let needs: Vec<String> = real_needs(&activities, i).into_iter().map(|n| format!("a{}", n + 1)).collect();
        let uses: Vec<String> = activity.uses.iter().enumerate().filter(|(_, u)| **u > 0).map(resource).collect();
        let uses = if uses.is_empty() { String::new() } else { format!(", uses: {{{}}}", uses.join(", ")) };
        let _ = writeln!(
            out,
            "  a{}: {{needs: [{}], run: \":\", estimate: {}m{uses}}}",
            i + 1,
            needs.join(", "),
            activity.duration
        );
    }
    Ok(out)
}

/// What an activity needs, seen through those that take no time.
fn real_needs(activities: &[Activity], of: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = activities[of].needs.clone();
    let mut seen = BTreeSet::new();
    while let Some(need) = open.pop() {
        if !seen.insert(need) {
            continue;
        }
        if activities[need].duration > 0 {
            found.insert(need);
        } else {
            open.extend(&activities[need].needs);
        }
    }
    found
}

fn read(text: &str) -> Result<(Vec<Activity>, Vec<u32>), String> {
    let jobs = section(text, "PRECEDENCE RELATIONS:")?;
    let mut activities = vec![Activity::default(); jobs.len()];
    for (line, numbers) in &jobs {
        let [job, modes, count, successors @ ..] = numbers.as_slice() else {
            return Err(format!("line {line}: expected a job, its modes and its successors"));
        };
        if *modes != 1 {
            return Err(format!("line {line}: job {job} has {modes} modes; only projects with one mode can be a plan"));
        }
        if successors.len() != *count as usize {
            return Err(format!("line {line}: {count} successors are announced, {} follow", successors.len()));
        }
        let before = index(*job, jobs.len(), *line)?;
        for next in successors {
            activities[index(*next, jobs.len(), *line)?].needs.push(before);
        }
    }
    for (line, numbers) in section(text, "REQUESTS/DURATIONS:")? {
        let [job, _mode, duration, uses @ ..] = numbers.as_slice() else {
            return Err(format!("line {line}: expected a job, its mode, its duration and its requests"));
        };
        let activity = &mut activities[index(*job, jobs.len(), line)?];
        (activity.duration, activity.uses) = (*duration, uses.to_vec());
    }
    let (line, capacity) = section(text, "RESOURCEAVAILABILITIES:")?.swap_remove(0);
    for (i, activity) in activities.iter().enumerate() {
        if activity.uses.len() != capacity.len() {
            return Err(format!(
                "line {line}: {} resources, but job {} requests {}",
                capacity.len(),
                i + 1,
                activity.uses.len()
            ));
        }
        if activity.uses.iter().zip(&capacity).any(|(uses, there)| uses > there) {
            return Err(format!("job {} requests more than there is", i + 1));
        }
    }
    Ok((activities, capacity))
}

fn index(job: u32, jobs: usize, line: usize) -> Result<usize, String> {
    let index = (job as usize).checked_sub(1).filter(|i| *i < jobs);
    index.ok_or_else(|| format!("line {line}: there is no job {job}"))
}

/// The rows of numbers below a title, up to the line of asterisks, each with its line.
fn section(text: &str, title: &str) -> Result<Vec<(usize, Vec<u32>)>, String> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    if !lines.any(|(_, line)| line == title) {
        return Err(format!("the file has no `{title}`: it is no project file (.sm)"));
    }
    let numbers = |line: &str| -> Option<Vec<u32>> { line.split_whitespace().map(|word| word.parse().ok()).collect() };
    let rows: Vec<(usize, Vec<u32>)> = lines
        .take_while(|(_, line)| !line.starts_with("***"))
        .filter_map(|(i, line)| Some((i, numbers(line).filter(|row| !row.is_empty())?)))
        .collect();
    if rows.is_empty() { Err(format!("nothing stands below `{title}`")) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
************************************************************************
PRECEDENCE RELATIONS:
jobnr.    #modes  #successors   successors
   1        1          2           2   3
   2        1          1           4
   3        1          1           4
   4        1          0
************************************************************************
REQUESTS/DURATIONS:
jobnr. mode duration  R 1  R 2
------------------------------------------------------------------------
  1      1     0       0    0
  2      1     8       4    0
  3      1     3       0    2
  4      1     2       1    1
************************************************************************
RESOURCEAVAILABILITIES:
  R 1  R 2
   12    4
************************************************************************
";

    #[test]
    fn activities_become_steps() {
        let plan = plan_from("small", SMALL).unwrap();
        let lines: Vec<&str> = plan.lines().collect();
        assert_eq!(lines[1..3], ["name: small, 3 activities", "resources: {R1: 12, R2: 4}"]);
        assert_eq!(
            lines[5..],
            [
                "  a2: {needs: [], run: \":\", estimate: 8m, uses: {R1: 4}}",
                "  a3: {needs: [], run: \":\", estimate: 3m, uses: {R2: 2}}",
                "  a4: {needs: [a2, a3], run: \":\", estimate: 2m, uses: {R1: 1, R2: 1}}",
            ]
        );
    }

    #[test]
    fn what_is_no_project_says_so_with_its_line() {
        let wrong = |from: &str, to: &str| plan_from("x", &SMALL.replace(from, to)).unwrap_err();
        assert!(wrong("PRECEDENCE RELATIONS:", "").contains("no project file"));
        assert!(
            wrong("   2        1          1           4", "   2        3          1           4")
                .contains("line 5: job 2 has 3 modes")
        );
        assert!(
            wrong("   3        1          1           4", "   3        1          2           4")
                .contains("line 6: 2 successors")
        );
        assert!(
            wrong("   3        1          1           4", "   3        1          1           9")
                .contains("line 6: there is no job 9")
        );
        assert!(
            wrong("  2      1     8       4    0", "  2      1     8      14    0").contains("job 2 requests more")
        );
        assert!(wrong("   12    4", "   12").contains("1 resources, but job 1 requests 2"));
    }
}
