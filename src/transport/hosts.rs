//! The transport over ssh, and the same contract on this machine. Knows how to reach a site; what an attempt is, the
//! modules beside it know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tokio::task::{AbortHandle, JoinHandle};

use super::attempt::{self, Purpose, Target};
use super::channel::Channel;
use super::host_lock::{HostLock, LateLock, Taking};
use super::keeper::client::Keeper;
use super::links::Links;
use super::mask::Masks;
use super::memory::Memory;
use super::request::{Request, Terms, check_variable, exports, local_arguments, remote_command};
use super::{
    Event, Means, NoAnswer, Reached, Report, Reports, Survey, SurveyRequest, Transport, errands, http, secrets, work,
};
use crate::driver::clock;
use crate::graph::ids::AttemptId;
use crate::graph::job::{Job, Site, Work};
use crate::graph::outcome::{Evidence, Outcome};
use crate::plan::model::{Host, HostName, SecretRef};

/// How many connections are opened at the same time where nothing else is set.
pub const CONNECT_AT_ONCE: usize = 32;

/// How a run reaches its hosts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the run; part of every attempt's id.
    pub run: String,
    /// Hosts refuse requests of owners with a lower epoch than they have seen.
    pub epoch: u64,
    pub hosts: IndexMap<HostName, Host>,
    /// Files of `script` and `copy` are named relative to this.
    pub plan_dir: PathBuf,
    /// By what the hosts are reached.
    pub means: Means,
    /// Instead of the user's own ssh configuration.
    pub ssh_config: Option<PathBuf>,
    /// Hosts that are reached without ssh: by starting this program here, which executes `$SSH_ORIGINAL_COMMAND` as a
    /// forced command does.
    pub sessions: IndexMap<HostName, PathBuf>,
    /// Connects at the same time, over all hosts.
    pub connect_at_once: usize,
    /// Connections that are open at the same time; as many as open files allow where nothing is said.
    pub open_at_most: Option<usize>,
    /// A silent connection is asked for a sign of life this often (whole seconds), and given up after so many in vain.
    pub keepalive: (Duration, u32),
    /// Receives `STEP/HOST.log`.
    pub logs: PathBuf,
    /// Directory of the attempt records on hosts; `${RUNBOOK_HOME:-$HOME/.runbook}` there where there is none.
    pub remote_dir: Option<String>,
    /// The same on this machine.
    pub local_dir: Option<PathBuf>,
    /// The program whose command `keeper` starts shell texts on this machine; without one a shell watches over each.
    pub keeper: Option<PathBuf>,
    /// Between TERM and KILL; whole seconds count.
    pub kill_grace: Duration,
    /// Bytes kept of the beginning and of the end of each output stream, about.
    pub keep_head: u64,
    pub keep_tail: u64,
    /// Every secret that the plan names: their values are hidden in all output, also after a resume.
    pub secrets: Vec<SecretRef>,
}

impl Config {
    /// The usual settings.
    #[must_use]
    pub fn new(run: &str, epoch: u64, hosts: IndexMap<HostName, Host>, plan_dir: PathBuf, logs: PathBuf) -> Self {
        Self {
            run: run.to_owned(),
            epoch,
            hosts,
            plan_dir,
            means: Means::default(),
            ssh_config: None,
            sessions: IndexMap::new(),
            connect_at_once: CONNECT_AT_ONCE,
            open_at_most: None,
            keepalive: (Duration::from_secs(5), 3),
            logs,
            remote_dir: None,
            local_dir: None,
            keeper: this_program(),
            kill_grace: Duration::from_secs(10),
            keep_head: 1 << 20,
            keep_tail: 9 << 20,
            secrets: Vec::new(),
        }
    }
}

/// Executes attempts on hosts and on this machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hosts {
    inner: Arc<Inner>,
    /// What is being followed, so that closing can stop it.
    followers: Arc<Mutex<Vec<AbortHandle>>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub config: Config,
    pub links: Arc<Links>,
    keeper: Keeper,
    masks: OnceCell<Masks>,
    unlocked: Mutex<BTreeMap<HostName, LateLock>>,
}

impl Hosts {
    /// Prepares; connects to nothing. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be given to ssh, or no private directory for its control sockets.
    pub fn new(config: Config) -> std::io::Result<Self> {
        let links = Links::new(&config)?;
        Ok(Self::over(Arc::new(links), config))
    }

    /// The same hosts over the connections that there are, for another run. Whoever closes either of the two closes the
    /// connections; how hosts are reached stays as it was.
    #[must_use]
    pub fn taken_over(&self, config: Config) -> Self {
        Self::over(self.inner.links.clone(), config)
    }

    fn over(links: Arc<Links>, config: Config) -> Self {
        let keeper = Keeper::new(config.keeper.clone(), links.directory());
        let inner = Inner { config, links, keeper, masks: OnceCell::new(), unlocked: Mutex::default() };
        Self { inner: Arc::new(inner), followers: Arc::default() }
    }

    /// Takes the lock of the plan `stem` for this run on every site, all at once. `holder` says who holds it, in words
    /// that another run's people will read. A lock that this run has already is taken again.
    ///
    /// One answer per site, in their order.
    pub async fn lock(&self, sites: Vec<Site>, stem: &str, holder: &str) -> Vec<(Site, Taking)> {
        errands::lock(&self.inner, sites, stem, holder).await
    }

    /// Has the lock taken on these hosts when an attempt is first launched there. Where another run holds it then, or the
    /// host still does not answer, the attempt does not start.
    pub fn lock_later(&self, hosts: impl IntoIterator<Item = HostName>, stem: &str, holder: &str) {
        let late = LateLock { stem: stem.to_owned(), holder: holder.to_owned() };
        let mut unlocked = self.inner.unlocked.lock().unwrap_or_else(PoisonError::into_inner);
        unlocked.extend(hosts.into_iter().map(|host| (host, late.clone())));
    }

    /// Gives the locks of this run back. Another run's lock stays and is an error.
    pub async fn unlock(&self, sites: Vec<Site>, stem: &str) -> Vec<(Site, Result<(), String>)> {
        errands::everywhere(&self.inner, sites, "unlock", &[("plan", stem)]).await
    }

    /// Who holds the lock of the plan `stem` on every site, and what of that run is there. Changes nothing.
    pub async fn find_lock(&self, sites: Vec<Site>, stem: &str) -> Vec<(Site, Result<Option<HostLock>, String>)> {
        let answers = errands::replies(&self.inner, sites, "held", &[("plan", stem)]).await;
        answers.into_iter().map(|(site, answer)| (site, answer.map(|lines| HostLock::read(&lines)))).collect()
    }

    /// Takes the lock of the plan `stem` away from `run`, by its name on hosts. Refused where another run holds it, and
    /// where something of the run is still at work.
    pub async fn take_lock_away(&self, sites: Vec<Site>, stem: &str, run: &str) -> Vec<(Site, Result<(), String>)> {
        errands::everywhere(&self.inner, sites, "take_away", &[("plan", stem), ("from", run)]).await
    }

    /// What every site remembers of `run`, by its name on hosts; the names of all runs where none is given. Changes nothing.
    pub async fn remember(&self, sites: Vec<Site>, run: Option<&str>) -> Vec<(Site, Result<Memory, String>)> {
        let answers = errands::replies(&self.inner, sites, "remember", &[("of", run.unwrap_or(""))]).await;
        let at = clock::now();
        answers.into_iter().map(|(site, answer)| (site, answer.map(|lines| Memory::read(&lines, at)))).collect()
    }

    /// Removes the records of this run, or of another one by its name on hosts, and with them what an undo would need.
    /// Refused where something of the run has not ended.
    pub async fn forget(&self, sites: Vec<Site>, run: Option<&str>) -> Vec<(Site, Result<(), String>)> {
        let run = run.map(|run| ("run", run));
        errands::everywhere(&self.inner, sites, "forget", run.as_slice()).await
    }

    /// What reaches a host: by its options, and where it was connected to already, by what came of that.
    ///
    /// # Errors
    /// Why it cannot be reached by what was asked for.
    pub async fn reached(&self, host: &str) -> Result<Reached, String> {
        self.inner.links.reached(host).await
    }

    fn follow(&self, work: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(work).abort_handle();
        if let Ok(mut followers) = self.followers.lock() {
            followers.retain(|f| !f.is_finished());
            followers.push(handle);
        }
    }
}

impl Transport for Hosts {
    fn launch(&self, job: Job, reports: Reports) {
        let inner = self.inner.clone();
        self.follow(async move { inner.launch(job, reports).await });
    }

    fn probe(&self, site: Site, attempt: AttemptId, reports: Reports) {
        let inner = self.inner.clone();
        let target = Target { site, attempt, outputs: Vec::new() };
        self.follow(async move { attempt::run(&inner, &target, Purpose::Ask, &reports).await });
    }

    fn kill(&self, site: Site, attempt: AttemptId, reports: Reports) {
        let inner = self.inner.clone();
        let target = Target { site, attempt, outputs: Vec::new() };
        self.follow(async move { attempt::run(&inner, &target, Purpose::End, &reports).await });
    }

    fn survey(&self, sites: Vec<SurveyRequest>) -> JoinHandle<Vec<Survey>> {
        let inner = self.inner.clone();
        tokio::spawn(async move { errands::survey(&inner, sites).await })
    }

    fn close(&self) -> JoinHandle<()> {
        let followers = self.followers.lock().map(|mut f| std::mem::take(&mut *f)).unwrap_or_default();
        let inner = self.inner.clone();
        tokio::spawn(async move {
            for follower in &followers {
                follower.abort();
            }
            inner.keeper.close().await;
            inner.links.close().await;
        })
    }
}

impl Inner {
    /// Starts the runner on the site, ready to read a request.
    pub(super) async fn open(&self, site: &Site, label: &str) -> Result<Channel, NoAnswer> {
        match site {
            Site::Controller => {
                Channel::local(&local_arguments(label)).map_err(|e| NoAnswer::Away(format!("cannot start sh: {e}")))
            }
            Site::Host(host) => match self.config.sessions.get(host) {
                Some(program) => Channel::session(program, &remote_command(label))
                    .map_err(|e| NoAnswer::Away(format!("cannot start {}: {e}", program.display()))),
                None => Ok(self.links.open(host, &remote_command(label)).await?),
            },
        }
    }

    /// Takes back a runner that waits for another request. Where starting one costs next to nothing, it may end.
    pub(super) fn keep(&self, site: &Site, channel: Channel) {
        if let Site::Host(host) = site
            && !self.config.sessions.contains_key(host)
        {
            self.links.keep(host, channel);
        }
    }

    pub(super) fn terms(&self, site: &Site) -> Terms {
        let config = &self.config;
        let home = match site {
            Site::Controller => config.local_dir.as_ref().map(|d| d.display().to_string()),
            Site::Host(_) => config.remote_dir.clone(),
        };
        Terms {
            run: config.run.clone(),
            epoch: config.epoch,
            home,
            grace: config.kill_grace.as_secs(),
            head_cap: config.keep_head,
            tail_cap: config.keep_tail,
        }
    }

    /// What to hide in output: every secret of the plan that can be resolved.
    pub(super) async fn masks(&self) -> Masks {
        let masks = self.masks.get_or_init(|| async {
            let mut values = Vec::new();
            for reference in &self.config.secrets {
                values.extend(secrets::resolve(reference, &self.config.plan_dir).await.ok());
            }
            Masks::new(values.iter().map(ExposeSecret::expose_secret))
        });
        masks.await.clone()
    }

    async fn launch(&self, mut job: Job, reports: Reports) {
        if job.site == Site::Controller {
            // What a plan says of its own machine, it says relative to its own folder.
            let dir = self.config.plan_dir.join(job.dir.as_deref().unwrap_or(""));
            job.dir = std::path::absolute(dir).ok().map(|dir| dir.display().to_string());
        }
        let target = Target { site: job.site.clone(), attempt: job.attempt.clone(), outputs: job.outputs.clone() };
        if let Work::Http(check) = &job.work {
            let _ = reports.send(Report { attempt: target.attempt.clone(), what: Event::Launched });
            let (outcome, evidence) = http::check(&job, check, &self.masks().await).await;
            let _ = reports.send(Report { attempt: target.attempt, what: Event::Ended { outcome, evidence } });
            return;
        }
        let never = |why| Event::Ended { outcome: Outcome::NeverStarted { why }, evidence: Evidence::default() };
        let what = match self.locked(&job.site).await {
            Taking::Taken => match self.prepare(&job).await {
                Ok(purpose) => return attempt::run(self, &target, purpose, &reports).await,
                Err(why) => never(why),
            },
            Taking::Refused(why) => never(format!("is held by another run: {why}")),
            Taking::NotAsked(why) => never(why.to_string()),
        };
        let _ = reports.send(Report { attempt: target.attempt, what });
    }

    /// Takes the lock of a host that was away when the others were locked.
    async fn locked(&self, site: &Site) -> Taking {
        let unlocked = || self.unlocked.lock().unwrap_or_else(PoisonError::into_inner);
        let Site::Host(host) = site else { return Taking::Taken };
        let Some(late) = unlocked().get(host).cloned() else { return Taking::Taken };
        let taking = errands::lock_one(self, site, &late.stem, &late.holder).await;
        if taking == Taking::Taken {
            unlocked().remove(host);
        }
        taking
    }

    /// Resolves and reads everything that the attempt needs from this machine. Nothing is sent.
    async fn prepare(&self, job: &Job) -> Result<Purpose, String> {
        let environment = self.environment(job).await?;
        let terms = self.terms(&job.site);
        if let Some(text) = work::for_keeper(job)
            && let Some(connection) = self.keeper.connect().await
            && let Some(request) = Request::for_keeper(&terms, job, &text, &environment)
        {
            return Ok(Purpose::Launch {
                request,
                payload: None,
                channel: Some(Box::new(Channel::keeper(connection))),
            });
        }
        let environment = exports(environment.iter().map(|(name, value)| (name.as_str(), value.expose_secret())))?;
        let (start, payload) = work::start(job, environment, &self.config.plan_dir).await?;
        Ok(Purpose::Launch { request: Request::launch(&terms, job, &start), payload, channel: None })
    }

    /// The variables of the job, each with a name and a value that a process can be given.
    async fn environment(&self, job: &Job) -> Result<Vec<(String, SecretString)>, String> {
        let plain = job.env.iter().map(|(name, value)| (name.clone(), SecretString::from(value.clone())));
        let mut values: Vec<_> = plain.collect();
        for (name, reference) in &job.secrets {
            values.push((name.clone(), secrets::resolve(reference, &self.config.plan_dir).await?));
        }
        values.iter().try_for_each(|(name, value)| check_variable(name, value.expose_secret()))?;
        Ok(values)
    }
}

/// The running program, where it is ours.
fn this_program() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|path| path.file_name().is_some_and(|name| name == "runbook"))
}
