//! Who is told what happens, and the texts of one's own for it: rendered with an example before the night. Tells nobody.

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{NoticeChannel, Notify};
use crate::plan::span::Spanned;
use crate::plan::words::nearest;
use crate::template::notice;

impl Checker<'_> {
    pub fn notify(&mut self) -> Vec<NoticeChannel> {
        let mut channels = Vec::new();
        for channel in self.raw.notify.iter().flat_map(|n| &n.value) {
            let by = &channel.value.by;
            if let Notify::Webhook { url } = by
                && !url.starts_with("https://")
                && !url.starts_with("http://")
            {
                let message = format!("{} is not a web address", Quoted(url));
                self.error(codes::URL, message, channel.span, "write https://...");
            }
            let template = channel.value.template.as_ref();
            if let Some(template) = template {
                self.notice_text(template, by);
            }
            channels.push(NoticeChannel { by: by.clone(), template: template.map(|t| t.value.clone()) });
        }
        channels
    }

    /// A text that cannot be rendered would be found out when somebody is needed.
    fn notice_text(&mut self, template: &Spanned<String>, by: &Notify) {
        let file = &template.value;
        let is_webhook = matches!(by, Notify::Webhook { .. });
        if is_webhook && !notice::is_document(file) {
            let d = Diagnostic::error(codes::TEMPLATE, format!("{} does not say that it is JSON", Quoted(file)));
            let why = "a webhook is posted JSON, and values come out as JSON in templates of that name only";
            self.found.push(d.at(template.span, "this file").why(why).help("call it NAME.json.j2"));
            return;
        }
        let outside = self.outside;
        let Some(text) = outside.files.get(file).and_then(|seen| seen.as_ref().ok()?.text.as_deref()) else { return };
        let Err(wrong) = notice::judge(file, text) else { return };
        let line = wrong.line.map_or_else(String::new, |line| format!(":{line}"));
        let d = Diagnostic::error(codes::TEMPLATE, format!("{file}{line}: {wrong}")).at(template.span, "this file");
        let near = wrong.undefined.as_deref().and_then(|name| nearest(name, notice::NAMES));
        self.found.push(match (near, &wrong.undefined) {
            (Some(near), _) => d.help(format!("did you mean `{near}`?")),
            (None, Some(_)) => d.help(format!("a message has: {}", notice::NAMES.join(", "))),
            (None, None) => d,
        });
    }
}
