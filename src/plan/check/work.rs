//! The details of verbs: what is copied where, which request is made, what is waited for; and taking hosts out of service.

use jiff::SignedDuration;

use super::Checker;
use super::step::{clock_base, text};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{CopyFile, Drain, Fleet, HttpCheck, Place, Plan, Wait};
use crate::plan::raw::{Field, RawStep, RawWait};
use crate::plan::shapes::Drainage;
use crate::plan::span::{Span, Spanned};

const UNTIL_EVERY: SignedDuration = SignedDuration::from_secs(10);

impl Checker<'_> {
    pub fn copy_file(
        &mut self,
        span: Span,
        src: &Field<String>,
        dest: &Field<String>,
        mode: Option<u32>,
        owner: &Field<String>,
    ) -> Option<CopyFile> {
        for (key, field) in [("src", src), ("dest", dest)] {
            if field.is_none() {
                let d = Diagnostic::error(codes::MISSING, format!("`{key}` is missing"))
                    .at(span, "says what, but not from where to where");
                self.found.push(d.help("write `copy: {src: FILE, dest: /path/on/the/host}`"));
                return None;
            }
        }
        let (src, dest) = (src.as_ref()?, dest.as_ref()?);
        self.destination(dest);
        if let Some(owner) = owner {
            for part in owner.value.splitn(2, ':') {
                self.check_user(&Spanned::new(part.to_string(), owner.span));
            }
        }
        Some(CopyFile { src: src.value.clone(), dest: dest.value.clone(), mode, owner: text(owner) })
    }

    fn destination(&mut self, dest: &Spanned<String>) {
        let path = dest.value.as_str();
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains('\0') || path == "/" {
            let message = format!("{} is not a path on the host", Quoted(path));
            let d = Diagnostic::error(codes::DESTINATION, message).at(dest.span, "must be absolute, without `..`");
            self.found.push(d.help("write the whole path, such as /etc/app/app.conf"));
        }
    }

    pub fn http(&mut self, raw: &RawStep) -> Option<HttpCheck> {
        let http = raw.http.as_ref()?;
        let (span, raw) = (http.span, &http.value.0);
        let Some(url) = &raw.url else {
            self.error(codes::MISSING, "`url` is missing", span, "which address?");
            return None;
        };
        if !url.value.starts_with("http://")
            && !url.value.starts_with("https://")
            && !super::texts::is_template(&url.value)
        {
            let message = format!("{} is not a web address", Quoted(&url.value));
            self.error(codes::URL, message, url.span, "write http://... or https://...");
        }
        let method = raw.method.as_ref().map_or_else(|| "GET".to_string(), |m| m.value.to_ascii_uppercase());
        if let Some(m) =
            raw.method.as_ref().filter(|_| !matches!(&*method, "GET" | "HEAD" | "POST" | "PUT" | "OPTIONS"))
        {
            let message = format!("{} is not a method for a test", Quoted(&m.value));
            self.error(codes::URL, message, m.span, "GET, HEAD, POST, PUT or OPTIONS");
        }
        let expect = raw.expect.iter().flat_map(|e| &e.value).filter_map(|c| u16::try_from(c.value.0).ok()).collect();
        let headers =
            raw.headers.iter().flat_map(|h| &h.value.rows).map(|(k, v)| (k.value.clone(), v.value.clone())).collect();
        Some(HttpCheck {
            url: url.value.clone(),
            method,
            expect,
            body_contains: text(&raw.body_contains),
            body_matches: text(&raw.body_matches),
            headers,
            body: text(&raw.body),
        })
    }

    pub fn wait(&mut self, name: &Spanned<String>, raw: &RawWait, span: Span, plan: &Plan) -> Option<Wait> {
        if let (Some(every), None) = (&raw.every, &raw.until) {
            self.error(codes::MISPLACED, "`every` belongs to `until`", every.span, "there is nothing to repeat");
        }
        match (&raw.r#for, &raw.at, &raw.until) {
            (Some(d), None, None) => Some(Wait::For(d.value.0)),
            (None, Some(at), None) => Some(Wait::At(self.instant(at, clock_base(plan), None)?)),
            (None, None, Some(_)) => {
                let every = raw.every.as_ref().map_or(UNTIL_EVERY, |e| e.value.0);
                if let Some(e) = raw.every.as_ref().filter(|e| e.value.0.is_zero()) {
                    self.error(codes::RANGE, "`every` must be longer than 0", e.span, "without a pause");
                }
                Some(Wait::Until { command: self.command(&raw.until)?, every })
            }
            _ => {
                if raw.broken.is_empty() {
                    let message = format!("step {} does not say what to wait for", Quoted(&name.value));
                    let d = Diagnostic::error(codes::VERB, message).at(span, "exactly one of `for`, `at` and `until`");
                    self.found.push(d.help("write {for: 10m}, {at: \"02:00\"} or {until: COMMAND, every: 10s}"));
                }
                None
            }
        }
    }

    pub fn fleet(&mut self, raw: &RawStep) -> Fleet {
        if let (Some(drain), false) = (&raw.drain, raw.has("undrain")) {
            let d = Diagnostic::warning(
                codes::DRAIN,
                "`drain` takes hosts out of service, but no `undrain` brings them back",
            );
            self.found.push(d.at(drain.span, "and then?").help("write `undrain: COMMAND`"));
        }
        Fleet {
            at_once: raw.at_once.as_ref().map(|s| s.value),
            keep_up: raw.keep_up.as_ref().map(|s| s.value),
            allow_failed: raw.allow_failed.as_ref().map(|s| s.value),
            order: raw.order.as_ref().map(|o| o.value.0).unwrap_or_default(),
            canary: raw.canary.is_some(),
            drain: raw.drain.as_ref().and_then(|d| self.drain(&d.value, d.span)),
            reboot: raw.reboot.as_ref().map(|r| r.value.0),
            undrain: raw.undrain.as_ref().and_then(|d| self.drain(&d.value, d.span)),
        }
    }

    /// The machine that executes the plan would end with itself what waits for it.
    pub fn restarts_hosts_only(&mut self, raw: &RawStep, place: &Place) {
        if let (Some(reboot), Place::Controller) = (&raw.reboot, place) {
            self.error(
                codes::MISPLACED,
                "`reboot` is for hosts",
                reboot.span,
                "would restart the machine that runs the plan",
            );
        }
    }

    fn drain(&mut self, drain: &Drainage, span: Span) -> Option<Drain> {
        let raw = &drain.0;
        if raw.run.is_none() && !raw.has("run") {
            self.error(codes::MISSING, "`run` is missing", span, "which command?");
        }
        let place = raw.hosts.as_ref().and_then(|h| Some((self.place(&h.value)?, h.span)));
        if let Some((Place::Hosts(hosts), span)) = &place
            && hosts.len() > 1
        {
            let d = Diagnostic::error(codes::MISPLACED, "the command is executed once, in one place");
            self.found.push(d.at(*span, format!("{} hosts", hosts.len())).help("name one host, or `local`"));
        }
        Some(Drain {
            run: self.command(&raw.run)?,
            hosts: place.map(|(place, _)| place),
            until: self.command(&raw.until),
            timeout: raw.timeout.as_ref().map(|t| t.value.0),
        })
    }
}
