//! The keys by which hosts are known: `known_hosts` files with patterns, hashed names, revoked keys and authorities. Judges
//! a key that was offered; opens no connection.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ring::hmac;
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::ssh_key::{Algorithm, Certificate, HashAlg, PublicKey};

use super::config::{Place, matches_list};

/// The entries of some files.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: Vec<(Entry, Place)>,
    /// Entries by a name that is written out, for fleets.
    plain: BTreeMap<String, Vec<usize>>,
    /// Entries whose names are patterns or hashed.
    others: Vec<usize>,
    /// Lines that cannot be read, such as keys of a type that is unknown here. They make no host known.
    unreadable: Vec<Place>,
}

/// What is known of a host.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    keys: Vec<(PublicKey, Place)>,
    authorities: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
    names: Vec<String>,
}

impl Known {
    /// Reads the files; one that does not exist is empty.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, String> {
        let mut known = Self::default();
        for file in files {
            let name: Arc<str> = file.display().to_string().into();
            let text = match std::fs::read_to_string(file) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(format!("{name} cannot be read: {e}")),
            };
            for (at, line) in text.lines().enumerate() {
                known.line(line, Place { file: name.clone(), line: at + 1 });
            }
        }
        Ok(known)
    }

    fn line(&mut self, line: &str, place: Place) {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let Ok(entry) = line.parse::<Entry>() else { return self.unreadable.push(place) };
        let index = self.entries.len();
        match entry.host_patterns() {
            HostPatterns::Patterns(names) if !names.iter().any(|name| name.contains(['*', '?', '!'])) => {
                for name in names {
                    self.plain.entry(name.to_ascii_lowercase()).or_default().push(index);
                }
            }
            _ => self.others.push(index),
        }
        self.entries.push((entry, place));
    }

    /// Everything about a host that is known under this name: `host`, or `[host]:port` where the port is not 22.
    pub(super) fn of(&self, name: &str) -> Trusted {
        let name = name.to_ascii_lowercase();
        let plain = self.plain.get(&name).into_iter().flatten();
        let others = self.others.iter().filter(|i| fits(self.entries[**i].0.host_patterns(), &name));
        let mut found: Vec<usize> = plain.chain(others).copied().collect();
        found.sort_unstable();
        let mut trusted = Trusted::default();
        for (entry, place) in found.into_iter().map(|i| &self.entries[i]) {
            let key = entry.public_key().clone();
            match entry.marker() {
                None => trusted.keys.push((key, place.clone())),
                Some(Marker::CertAuthority) => trusted.authorities.push(key),
                Some(Marker::Revoked) => trusted.revoked.push(key),
            }
        }
        trusted.names.push(plain_name(&name).to_owned());
        trusted
    }
}

/// The name without brackets and port.
fn plain_name(name: &str) -> &str {
    name.strip_prefix('[').and_then(|rest| rest.split_once("]:")).map_or(name, |(host, _)| host)
}

fn fits(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::Patterns(patterns) => matches_list(name, patterns),
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
    }
}

/// Whether signatures of the key can be checked here. Those of RSA cannot: no implementation of it in the language has
/// constant time.
fn checkable(key: &PublicKey) -> bool {
    matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { .. })
}

impl Trusted {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.authorities.is_empty()
    }

    /// The kinds of key that may be offered: with others the host could not be recognized. None where nothing is known.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        distinct(self.keys.iter().map(|(key, _)| key))
    }

    /// The same for certificates: an authority may sign keys of every kind.
    pub(super) fn has_authority(&self) -> bool {
        self.authorities.iter().any(checkable)
    }

    /// Why no key that is known can be checked here.
    pub(super) fn uncheckable(&self) -> Option<String> {
        let (key, place) = self.keys.first()?;
        let none = !self.has_authority() && !self.keys.iter().any(|(key, _)| checkable(key));
        none.then(|| format!("its only known key, at {place}, is {}, which is not supported", key.algorithm()))
    }

    /// Judges what a host offers.
    ///
    /// # Errors
    /// Why it is not trusted, in words.
    pub(super) fn judge(&self, offered: &PublicKeyOrCertificate, now: u64) -> Result<(), Distrust> {
        let key = offered.public_key();
        if self.revoked.iter().any(|revoked| revoked.key_data() == key.key_data()) {
            return Err(Distrust::Revoked);
        }
        if let Some(certificate) = offered.certificate() {
            return self.judge_certificate(certificate, now);
        }
        if self.keys.iter().any(|(known, _)| known.key_data() == key.key_data()) {
            return Ok(());
        }
        match self.keys.iter().find(|(known, _)| known.algorithm() == key.algorithm()) {
            Some((_, place)) => Err(Distrust::Changed(place.clone())),
            None => Err(Distrust::Unknown),
        }
    }

    fn judge_certificate(&self, certificate: &Certificate, now: u64) -> Result<(), Distrust> {
        let not = |why: &str| Err(Distrust::Certificate(why.to_owned()));
        let authority = certificate.signature_key();
        if self.revoked.iter().any(|revoked| revoked.key_data() == authority) {
            return Err(Distrust::Revoked);
        }
        let fingerprints: Vec<_> = self.authorities.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect();
        if certificate.cert_type() != CertType::Host {
            return not("it is not a host's certificate");
        }
        if certificate.critical_options().iter().next().is_some() {
            return not("it has conditions that are not understood");
        }
        if !self.names.iter().any(|name| matches_list(name, certificate.valid_principals())) {
            return not("it is not for this host");
        }
        match certificate.validate_at(now, &fingerprints) {
            Ok(()) => Ok(()),
            Err(_) => not("it is out of date, or not signed by an authority that is known for this host"),
        }
    }
}

fn distinct<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Vec<Algorithm> {
    let mut found = Vec::new();
    for algorithm in keys.filter(|key| checkable(key)).map(PublicKey::algorithm) {
        if !found.contains(&algorithm) {
            found.push(algorithm);
        }
    }
    found
}

/// Why a host is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Distrust {
    /// Nothing of this kind is known of it.
    Unknown,
    /// Another key of the same kind is known, there.
    Changed(Place),
    Revoked,
    Certificate(String),
}

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;

    use super::*;

    fn key(n: u8) -> PrivateKey {
        let pair = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&[n; 32]);
        PrivateKey::from(pair)
    }

    fn text(n: u8) -> String {
        key(n).public_key().to_openssh().unwrap()
    }

    fn known(text: &str) -> Known {
        let mut known = Known::default();
        for (at, line) in text.lines().enumerate() {
            known.line(line, Place { file: "known".into(), line: at + 1 });
        }
        known
    }

    fn judge(known: &Known, name: &str, n: u8) -> Result<(), Distrust> {
        known.of(name).judge(&PublicKeyOrCertificate::from(key(n).public_key().clone()), 0)
    }

    #[test]
    fn a_host_is_known_by_its_name_and_port() {
        let known = known(&format!(
            "web1,10.0.0.1 {}\n[web2]:2222\t{}  a comment\n*.lan,!bad.lan {}",
            text(1),
            text(2),
            text(3)
        ));
        assert_eq!(judge(&known, "WEB1", 1), Ok(()));
        assert_eq!(judge(&known, "10.0.0.1", 1), Ok(()));
        assert_eq!(judge(&known, "web2", 2), Err(Distrust::Unknown));
        assert_eq!(judge(&known, "[web2]:2222", 2), Ok(()));
        assert_eq!(judge(&known, "a.lan", 3), Ok(()));
        assert_eq!(judge(&known, "bad.lan", 3), Err(Distrust::Unknown));
        assert_eq!(judge(&known, "web1", 9), Err(Distrust::Changed(Place { file: "known".into(), line: 1 })));
    }

    #[test]
    fn hashed_names_are_found() {
        let salt = b"12345678901234567890";
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt), b"web1");
        let hash = <[u8; 20]>::try_from(tag.as_ref()).unwrap();
        let name = HostPatterns::HashedName { salt: salt.to_vec(), hash }.to_string();
        let known = known(&format!("{name} {}", text(1)));
        assert_eq!(judge(&known, "web1", 1), Ok(()));
        assert_eq!(judge(&known, "web2", 1), Err(Distrust::Unknown));
    }

    #[test]
    fn a_revoked_key_is_never_trusted() {
        let known = known(&format!("web1 {}\n@revoked * {}", text(1), text(1)));
        assert_eq!(judge(&known, "web1", 1), Err(Distrust::Revoked));
    }

    #[test]
    fn lines_that_cannot_be_read_make_nothing_known() {
        let known = known("web1 ssh-nosuch AAAA\n# a comment\n\nweb1\n@nosuch web1 x");
        assert_eq!(known.unreadable.len(), 3);
        assert!(known.of("web1").is_empty());
    }

    #[test]
    fn an_rsa_key_alone_cannot_be_checked() {
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC5K9D2bvrOFEHibQFQo9/XuXBxyPspDVC2x7rcA6o/9Vgi2oQfy6evE+iBc0GCtwISb9xwtlmzITeqCncNFCSSq8mFno7xUE+xfGNl6xEKqgU0JzPL4x/RH9Ca9Gem7n7gMMvPSnu+uxFlb2OL9z3wrPF5SidaCSmVBoIFgs3zvw==";
        let alone = known(&format!("web1 {rsa}"));
        assert_eq!(
            alone.of("web1").uncheckable().unwrap(),
            "its only known key, at known:1, is ssh-rsa, which is not supported"
        );
        let both = known(&format!("web1 {rsa}\nweb1 {}", text(1)));
        assert_eq!(both.of("web1").uncheckable(), None);
        assert_eq!(both.of("web1").algorithms(), [Algorithm::Ed25519]);
    }

    fn certificate(principal: &str, kind: CertType, authority: u8, until: u64) -> PublicKeyOrCertificate {
        let mut builder = Builder::new(vec![7; 16], key(1).public_key().clone(), 100, until).unwrap();
        builder.cert_type(kind).unwrap().valid_principal(principal).unwrap().key_id("x").unwrap();
        builder.sign(&key(authority)).unwrap().into()
    }

    #[test]
    fn a_certificate_counts_when_all_of_it_is_right() {
        let trusted = known(&format!("@cert-authority web* {}", text(5))).of("[web1]:2222");
        let judge =
            |principal: &str, kind, authority, now| trusted.judge(&certificate(principal, kind, authority, 200), now);
        assert_eq!(
            judge("web1", CertType::Host, 5, 150),
            Err(Distrust::Certificate(
                "it is out of date, or not signed by an authority that is known for this host".into()
            ))
        );
        let trusted =
            known(&format!("@cert-authority [web*]:2222 {}\n@revoked * {}", text(5), text(6))).of("[web1]:2222");
        let judge =
            |principal: &str, kind, authority, now| trusted.judge(&certificate(principal, kind, authority, 200), now);
        assert_eq!(judge("web1", CertType::Host, 5, 150), Ok(()));
        for wrong in [
            judge("web2", CertType::Host, 5, 150),
            judge("web1", CertType::User, 5, 150),
            judge("web1", CertType::Host, 4, 150),
            judge("web1", CertType::Host, 5, 200),
            judge("web1", CertType::Host, 5, 99),
        ] {
            assert!(matches!(wrong, Err(Distrust::Certificate(_))), "{wrong:?}");
        }
        assert_eq!(judge("web1", CertType::Host, 6, 150), Err(Distrust::Revoked));
    }
}
