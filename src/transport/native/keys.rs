//! The keys by which we log in: files, certificates, and what an agent holds. Offers them in the order in which ssh does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, Handler};
use russh::keys::PrivateKeyWithHashAlg;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_key::{Algorithm, Certificate, PrivateKey, PublicKey};
use tokio::net::UnixStream;

/// What a file named by `IdentityFile` holds.
#[derive(Debug, Clone)]
pub(super) enum KeyFile {
    Usable(Arc<PrivateKey>),
    /// Only an agent can sign with it. `skipped` says why ssh, which may ask nobody, would leave it out as well;
    /// without that it could use the key, and we cannot.
    Public {
        key: PublicKey,
        skipped: bool,
    },
    /// Not there, or not a key: ssh leaves it out.
    Nothing,
}

impl KeyFile {
    pub(super) fn read(path: &Path) -> Self {
        let with_suffix = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
        let public = |path: &Path| russh::keys::load_public_key(path).ok();
        let beside = || public(&with_suffix(".pub")).map_or(Self::Nothing, |key| Self::Public { key, skipped: true });
        let Ok(text) = std::fs::read_to_string(path) else { return beside() };
        if let Ok(key) = russh::keys::decode_secret_key(&text, None) {
            return match key.algorithm() {
                Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Self::Usable(Arc::new(key)),
                _ => Self::Public { key: key.public_key().clone(), skipped: false },
            };
        }
        match PrivateKey::from_openssh(&text) {
            Ok(key) => Self::Public { key: key.public_key().clone(), skipped: key.is_encrypted() },
            Err(_) if text.contains("PRIVATE KEY") => match public(&with_suffix(".pub")) {
                Some(key) => Self::Public { key, skipped: text.contains("ENCRYPTED") },
                None => Self::Nothing,
            },
            Err(_) => public(path).map_or_else(beside, |key| Self::Public { key, skipped: true }),
        }
    }

    pub(super) fn public(&self) -> Option<&PublicKey> {
        match self {
            Self::Usable(key) => Some(key.public_key()),
            Self::Public { key, .. } => Some(key),
            Self::Nothing => None,
        }
    }
}

/// What an agent holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: Vec<PublicKey>,
    certificates: Vec<Certificate>,
}

impl Held {
    pub(super) fn has(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|held| held.key_data() == key.key_data())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Everything by which we may log in to a host.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    pub files: Vec<KeyFile>,
    pub certificates: Vec<Certificate>,
    pub agent: Option<PathBuf>,
    /// Of the agent's keys, only those that a file names.
    pub only_files: bool,
}

enum Offer {
    Agent(PublicKey),
    AgentCertificate(Certificate),
    File(Arc<PrivateKey>),
    FileCertificate(Arc<PrivateKey>, Certificate),
}

impl Keys {
    /// The agent and what it holds. One that does not answer holds nothing, as for ssh.
    pub(super) async fn ask_agent(path: Option<&Path>) -> Option<(AgentClient<UnixStream>, Held)> {
        let mut agent = AgentClient::connect_uds(path?).await.ok()?;
        let mut held = Held::default();
        for identity in agent.request_identities().await.ok()? {
            match identity {
                AgentIdentity::PublicKey { key, .. } => held.keys.push(key),
                AgentIdentity::Certificate { certificate, .. } => held.certificates.push(certificate),
            }
        }
        Some((agent, held))
    }

    fn offers(&self, held: &Held) -> Vec<Offer> {
        let mut offers = Vec::new();
        let certificates = |key: &PublicKey| {
            let ours = self.certificates.iter().filter(|c| c.public_key() == key.key_data()).cloned();
            ours.collect::<Vec<_>>()
        };
        let named =
            |key: &PublicKey| self.files.iter().filter_map(KeyFile::public).any(|f| f.key_data() == key.key_data());
        let mut by_agent = |key: &PublicKey| {
            let own = held.certificates.iter().filter(|c| c.public_key() == key.key_data()).cloned();
            let all = certificates(key).into_iter().chain(own);
            offers.extend(all.map(Offer::AgentCertificate));
            offers.push(Offer::Agent(key.clone()));
        };
        self.files.iter().filter_map(KeyFile::public).filter(|key| held.has(key)).for_each(&mut by_agent);
        if !self.only_files {
            held.keys.iter().filter(|key| !named(key)).for_each(&mut by_agent);
        }
        for file in &self.files {
            if let KeyFile::Usable(key) = file
                && !held.has(key.public_key())
            {
                let own = certificates(key.public_key()).into_iter();
                offers.extend(own.map(|certificate| Offer::FileCertificate(key.clone(), certificate)));
                offers.push(Offer::File(key.clone()));
            }
        }
        offers
    }

    /// Logs in.
    ///
    /// # Errors
    /// The host takes none of the keys, or the connection is lost.
    pub(super) async fn log_in<H: Handler>(&self, handle: &mut Handle<H>, user: &str) -> Result<(), LogIn> {
        let asked = Self::ask_agent(self.agent.as_deref()).await;
        let (mut agent, held) = asked.map_or((None, Held::default()), |(agent, held)| (Some(agent), held));
        let offers = self.offers(&held);
        if offers.is_empty() {
            return Err(LogIn::Refused("there is no key to offer".into()));
        }
        let count = offers.len();
        for offer in offers {
            match offer_one(handle, user, agent.as_mut(), offer).await? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { partial_success: true, .. } => {
                    return Err(LogIn::Refused("it wants more than a key".into()));
                }
                AuthResult::Failure { .. } => {}
            }
        }
        Err(LogIn::Refused(format!("{count} offered to {user}")))
    }
}

/// Why nobody is logged in.
#[derive(Debug)]
pub(super) enum LogIn {
    Refused(String),
    Lost(russh::Error),
}

impl From<russh::Error> for LogIn {
    fn from(error: russh::Error) -> Self {
        Self::Lost(error)
    }
}

/// Offers one key. An agent that does not sign is as good as a refusal: the next key may be taken.
async fn offer_one<H: Handler>(
    handle: &mut Handle<H>,
    user: &str,
    agent: Option<&mut AgentClient<UnixStream>>,
    offer: Offer,
) -> Result<AuthResult, LogIn> {
    let refused = || AuthResult::Failure { remaining_methods: russh::MethodSet::empty(), partial_success: false };
    let algorithm = match &offer {
        Offer::Agent(key) => key.algorithm(),
        Offer::AgentCertificate(certificate) => certificate.algorithm(),
        Offer::File(key) | Offer::FileCertificate(key, _) => key.algorithm(),
    };
    let hash = if algorithm.is_rsa() { handle.best_supported_rsa_hash().await?.flatten() } else { None };
    Ok(match (offer, agent) {
        (Offer::File(key), _) => handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash)).await?,
        (Offer::FileCertificate(key, certificate), _) => {
            handle.authenticate_openssh_cert(user, key, certificate).await?
        }
        (Offer::Agent(key), Some(agent)) => {
            handle.authenticate_publickey_with(user, key, hash, agent).await.unwrap_or_else(|_| refused())
        }
        (Offer::AgentCertificate(certificate), Some(agent)) => {
            handle.authenticate_certificate_with(user, certificate, hash, agent).await.unwrap_or_else(|_| refused())
        }
        (Offer::Agent(_) | Offer::AgentCertificate(_), None) => refused(),
    })
}
