//! Which wave of a plan is to be executed, by what its earlier runs have done. Starts nothing.

use super::error::CommandError;
use super::load::Loaded;
use super::{look, window};
use crate::engine::fact::Stage;
use crate::journal::{RunRow, Store};
use crate::plan::inventory::count;
use crate::plan::model::Plan;
use crate::plan::nearest;
use crate::plan::waves::{OpenWave, WaveOver};
use crate::view::{NotNow, Week, WeekSoFar};

/// `--wave`, where a plan in waves is looked at one wave at a time.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OneWave {
    /// The wave of that name, of a plan in waves
    #[arg(long, value_name = "NAME")]
    pub wave: Option<String>,
}

impl OneWave {
    /// Makes the plan the one of the wave, where one is named.
    ///
    /// # Errors
    /// When the plan has no such wave.
    pub fn pick(&self, loaded: &mut Loaded) -> Result<Option<OpenWave>, CommandError> {
        let Some(name) = &self.wave else { return Ok(None) };
        if loaded.plan.waves.is_empty() {
            return Err(no_such_wave(name));
        }
        let wave = Week::new(&loaded.plan, WeekSoFar::default()).open(position(&loaded.plan, name)?);
        if let Some(plan) = wave.of_plan(&loaded.plan) {
            loaded.plan = plan;
        }
        Ok(Some(wave))
    }

    /// The same, for what has one window by design and is asked of each wave, never of a week.
    ///
    /// # Errors
    /// When the plan has waves and none is named, or not this one.
    pub fn must_pick(&self, loaded: &mut Loaded, what: &str) -> Result<Option<OpenWave>, CommandError> {
        let wave = self.pick(loaded)?;
        let names: Vec<&str> = loaded.plan.waves.iter().map(|wave| wave.name.as_str()).collect();
        match names.is_empty() {
            true => Ok(wave),
            false => Err(CommandError::refused(format!("a plan in waves cannot be {what} as a whole"))
                .hint(format!("one of its waves:   --wave {}", names.join("|")))),
        }
    }
}

impl OneWave {
    /// The wave as a run of it saw it whose journal is gone, and in sentences what had to be concluded for that. What earlier
    /// runs did is in their journals, where there are any.
    ///
    /// # Errors
    /// As [`OneWave::must_pick`], and when a journal cannot be read.
    pub fn of_lost_run(
        &self,
        loaded: &mut Loaded,
        store: Option<&Store>,
    ) -> Result<(Option<OpenWave>, Vec<String>), CommandError> {
        let whole = loaded.plan.clone();
        let (Some(_), Some(name)) = (self.must_pick(loaded, "recovered")?, &self.wave) else {
            return Ok((None, Vec::new()));
        };
        let at = position(&whole, name)?;
        let mut known = store.map_or_else(|| Ok(WeekSoFar::default()), |store| newest_week(store, &whole))?;
        let concluded = Week::new(&whole, known.clone()).unknown_before(at);
        known.conclude(&concluded);
        let sentences = must_be_over(name, &concluded);
        let wave = OpenWave { concluded, ..Week::new(&whole, known).open(at) };
        if let Some(plan) = wave.of_plan(&whole) {
            loaded.plan = plan;
        }
        Ok((Some(wave), sentences))
    }
}

/// What the runs of the plan's last week did, unless its waves are over since.
fn newest_week(store: &Store, plan: &Plan) -> Result<WeekSoFar, CommandError> {
    let runs = Earlier::runs(store, plan, Wish { wave: None, week: None, stage: Stage::Real, digest: "" })?;
    match runs.first() {
        Some(last) if !last.before(plan) => so_far(store, runs.iter().filter(|run| run.week() == last.week())),
        _ => Ok(WeekSoFar::default()),
    }
}

fn must_be_over(wave: &str, before: &[WaveOver]) -> Vec<String> {
    let wave = wave.escape_debug();
    let one = |over: &WaveOver| {
        let name = over.name.escape_debug();
        format!("{name} was over: {wave} is executed only after it; which of its hosts were left out is not known")
    };
    before.iter().map(one).collect()
}

/// What is asked of the store.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// `--wave NAME`.
    pub wave: Option<&'a str>,
    /// `--week`.
    pub week: Option<Which>,
    pub stage: Stage,
    pub digest: &'a str,
}

/// Whether earlier runs of the plan count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// The waves that have begun go on, also when the plan has moved them
    Same,
    /// All waves are executed again, from the first
    New,
}

/// The wave to execute; `None` for a plan without waves.
///
/// # Errors
/// When the wave that is asked for is done, or comes after one that is not; when nothing is left to do; when the waves
/// were moved so that it cannot be told whether earlier runs count.
pub fn choose(store: &Store, plan: &Plan, wish: Wish<'_>) -> Result<Option<OpenWave>, CommandError> {
    if plan.waves.is_empty() {
        return without_waves(wish).map_or(Ok(None), Err);
    }
    let asked = wish.wave.map(|name| position(plan, name)).transpose()?;
    let fresh = || Week::new(plan, WeekSoFar::default());
    // Where nothing is at stake: any wave at any time.
    if let (Some(at), false) = (asked, wish.stage.is_real()) {
        return Ok(Some(fresh().open(at)));
    }
    let runs = Earlier::runs(store, plan, wish)?;
    let Some(last) = runs.first() else { return open(&fresh(), asked) };
    let so_far = so_far(store, runs.iter().filter(|run| run.week() == last.week()))?;
    let over = last.wave.next.is_none() && so_far.wave(&last.wave.name).is_some_and(|wave| wave.is_done());
    let same = Week::new(plan, so_far);
    match (wish.week, wish.stage.is_real()) {
        (Some(Which::New), _) => open(&fresh(), asked),
        (Some(Which::Same), _) => open(&same, asked),
        // ... and over again from the first when all are done.
        (None, false) if same.next().is_none() => open(&fresh(), asked),
        (None, false) => open(&same, asked),
        (None, true) if !last.before(plan) => open(&same, asked),
        (None, true) if over => open(&fresh(), asked),
        (None, true) => Err(last.which_week(&same)),
    }
}

fn open(week: &Week<'_>, asked: Option<usize>) -> Result<Option<OpenWave>, CommandError> {
    let at = asked.or_else(|| week.next()).ok_or_else(|| nothing_left(week))?;
    match week.may_open(at) {
        Ok(()) => Ok(Some(week.open(at))),
        Err(why) => Err(not_now(why, &week.plan().waves[at].name)),
    }
}

fn without_waves(wish: Wish<'_>) -> Option<CommandError> {
    let week = || CommandError::usage("the plan has no waves, so `--week` says nothing about it");
    wish.wave.map(no_such_wave).or_else(|| wish.week.map(|_| week()))
}

fn no_such_wave(name: &str) -> CommandError {
    CommandError::usage(format!("the plan has no waves, so there is none called `{}`", name.escape_debug()))
}

fn position(plan: &Plan, name: &str) -> Result<usize, CommandError> {
    plan.waves.iter().position(|wave| wave.name == name).ok_or_else(|| {
        let error = CommandError::usage(format!("the plan has no wave `{}`", name.escape_debug()));
        let names: Vec<&str> = plan.waves.iter().map(|wave| wave.name.as_str()).collect();
        match nearest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("its waves: {}", names.join(", "))),
        }
    })
}

/// An earlier run of one of the plan's waves, whatever the text of the plan was then: a problem found on Monday may be
/// mended before Tuesday.
struct Earlier {
    run: RunRow,
    wave: OpenWave,
}

impl Earlier {
    /// Newest first. Runs of the lab and rehearsals count among themselves, of exactly this plan.
    fn runs(store: &Store, plan: &Plan, wish: Wish<'_>) -> Result<Vec<Self>, CommandError> {
        let same_plan = |run: &RunRow| wish.stage.is_real() || run.digest == wish.digest;
        let counts = |run: &RunRow| run.plan == plan.stem && run.stage == wish.stage && same_plan(run);
        let mut out = Vec::new();
        for run in store.runs()?.into_iter().filter(counts) {
            let wave = look::started(store, &run)?.options.wave;
            out.extend(wave.map(|wave| Self { run, wave }));
        }
        Ok(out)
    }

    /// The run that began its week.
    fn week(&self) -> &str {
        self.wave.week.as_deref().unwrap_or(&self.run.id)
    }

    /// Whether all waves of the plan, as it is now, open after this run's wave did.
    fn before(&self, plan: &Plan) -> bool {
        plan.waves.iter().all(|wave| wave.opens > self.wave.opens)
    }

    /// The waves that this run's week left are neither done nor still where they were.
    fn which_week(&self, week: &Week<'_>) -> CommandError {
        let (run, wave) = (&self.run.id, self.wave.name.escape_debug());
        let (done, all) = (week.hosts_done(), week.hosts());
        CommandError::refused(format!(
            "all waves of the plan open later now than `{wave}` did in run {run}, and that week was not finished: {done} of {all} hosts are done"
        ))
        .hint("the waves were moved, what is done stays done:   --week same")
        .hint("this is another week, everything is to be done:  --week new")
    }
}

/// What these runs have done, which come newest first.
fn so_far<'r>(store: &Store, runs: impl DoubleEndedIterator<Item = &'r Earlier>) -> Result<WeekSoFar, CommandError> {
    let mut week = WeekSoFar::default();
    for run in runs.rev() {
        week.add(&look::view(store, &run.run)?);
    }
    Ok(week)
}

fn not_now(why: NotNow<'_>, name: &str) -> CommandError {
    let name = name.escape_debug();
    match why {
        NotNow::Done { by } => {
            let by = by.map_or_else(String::new, |run| format!(" by run {run}"));
            CommandError::refused(format!("wave `{name}` is done{by}"))
        }
        NotNow::After { earlier } => {
            CommandError::refused(format!("wave `{name}` comes after `{earlier}`, which is not done"))
                .hint(format!("take `{earlier}` first:   --wave {earlier}"))
        }
    }
}

fn nothing_left(week: &Week<'_>) -> CommandError {
    let (waves, done, all) = (week.plan().waves.len(), week.hosts_done(), week.hosts());
    CommandError::refused(format!("all {waves} waves of the plan are over: {done} of {all} hosts done"))
        .hint("what each of them did:   runbook runs")
}

/// `wave tue-tests, 4 of 8: 35 hosts, Tue 5 Mar 2013, 17:00; 22 of 236 hosts done so far`
#[must_use]
pub fn in_words(plan: &Plan, wave: &OpenWave) -> String {
    let (n, at) = (wave.to_do().len(), window::clock_time(plan, wave.opens));
    let hosts = count(n, "host");
    let (number, of, done, all) = (wave.number, wave.of, wave.week_done, wave.week_hosts);
    format!("wave  {}, {number} of {of}: {hosts}, {at}; {done} of {all} hosts done so far", wave.name)
}
