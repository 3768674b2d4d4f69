//! Events of `tracing` as lines of text.
//!
//! What must hold: a line is bounded and is one line, whatever a peer has sent that is in it.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::{FILTER, Line, QUEUE, is_here};
use std::sync::PoisonError;

/// The longest message, in bytes; what is beyond it is left out.
const MAX_MESSAGE: usize = 4096;

/// What subscribes.
pub(super) struct HostLayer;

fn takes(of: &Metadata<'_>) -> bool {
    FILTER.read().unwrap_or_else(PoisonError::into_inner).takes(of)
}

/// What a span's fields say, kept with the span.
struct Said(Text);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for HostLayer {
    fn register_callsite(&self, of: &'static Metadata<'static>) -> Interest {
        match takes(of) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, of: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_here() && takes(of)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(FILTER.read().unwrap_or_else(PoisonError::into_inner).most())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && is_here()
        {
            let mut text = Text::default();
            attributes.record(&mut text);
            span.extensions_mut().insert(Said(text));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && is_here()
            && let Some(Said(text)) = span.extensions_mut().get_mut::<Said>()
        {
            values.record(text);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if !is_here() {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        for span in ctx.event_scope(event).into_iter().flatten() {
            if let Some(Said(said)) = span.extensions().get::<Said>() {
                text.fields.push_str(&said.fields);
            }
        }
        let of = event.metadata();
        QUEUE.push(Line::new(*of.level(), of.target(), text.end()));
    }
}

/// A message and its fields, as they come.
#[derive(Default)]
struct Text {
    message: String,
    /// ` name=value`, one after the other.
    fields: String,
}

impl Text {
    fn end(self) -> String {
        let mut whole = self.message + &self.fields;
        if whole.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|end| whole.is_char_boundary(*end));
            whole.truncate(end.unwrap_or(0));
            whole.push('…');
        }
        match whole.strip_prefix(' ') {
            Some(fields) => fields.to_owned(),
            None => whole,
        }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing fails where it is too long: the rest is left out.
        let _ = match field.name() {
            "message" => write!(Plain(&mut self.message), "{value:?}"),
            name => write!(Plain(&mut self.fields), " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Writes what is neither a new line nor any other control; stops where it grows too long.
struct Plain<'a>(&'a mut String);

impl Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() > MAX_MESSAGE {
                return Err(fmt::Error);
            }
            match c.is_control() {
                true => self.0.extend(c.escape_default()),
                false => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let mut message = String::new();
        write!(Plain(&mut message), "a\nb\u{1b}[0m é").unwrap();
        assert_eq!(message, "a\\nb\\u{1b}[0m é");
        assert!(write!(Plain(&mut message), "{}", "é".repeat(10_000)).is_err());
        let text = Text { message, fields: " a=1".repeat(2000) }.end();
        assert!(text.len() <= MAX_MESSAGE + '…'.len_utf8() && text.ends_with('…'));
        let bare = Text { message: String::new(), fields: " a=1".into() };
        assert_eq!(bare.end(), "a=1");
    }
}
