//! Normal form: negations at the terms, conjunctions and disjunctions flat, levels of one conjunction or disjunction in one set.

use super::{Expr, LevelSet, Term};

impl Expr {
    /// The same condition in normal form.
    pub fn normal(self) -> Expr {
        normal(self, false)
    }
}

/// `expr`, or its negation, in normal form.
fn normal(expr: Expr, negated: bool) -> Expr {
    match (expr, negated) {
        (Expr::Not(inner), _) => normal(*inner, !negated),
        (Expr::Term(Term::Levels(set)), true) => Expr::Term(Term::Levels(LevelSet::of(|level| !set.contains(level)))),
        (Expr::All, true) => Expr::Term(Term::Levels(LevelSet::default())), // no line at all
        (expr @ (Expr::All | Expr::Term(_)), false) => expr,
        (expr @ Expr::Term(_), true) => Expr::Not(Box::new(expr)),
        (Expr::And(parts), false) | (Expr::Or(parts), true) => join(parts, negated, Joint::And),
        (Expr::Or(parts), false) | (Expr::And(parts), true) => join(parts, negated, Joint::Or),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    And,
    Or,
}

fn join(parts: Vec<Expr>, negated: bool, joint: Joint) -> Expr {
    let mut flat = Vec::with_capacity(parts.len());
    let mut levels: Option<LevelSet> = None;
    for part in parts {
        let part = normal(part, negated);
        let inner = match (part, joint) {
            (Expr::And(inner), Joint::And) | (Expr::Or(inner), Joint::Or) => inner,
            (Expr::All, Joint::And) => continue,
            (Expr::All, Joint::Or) => return Expr::All,
            (part, _) => vec![part],
        };
        for part in inner {
            match part {
                Expr::Term(Term::Levels(set)) => {
                    levels = Some(match (levels, joint) {
                        (None, _) => set,
                        (Some(so_far), Joint::And) => LevelSet::of(|level| so_far.contains(level) && set.contains(level)),
                        (Some(so_far), Joint::Or) => LevelSet::of(|level| so_far.contains(level) || set.contains(level)),
                    });
                }
                part if flat.contains(&part) => {}
                part => flat.push(part),
            }
        }
    }
    flat.extend(levels.map(|set| Expr::Term(Term::Levels(set))));
    match (flat.len(), joint) {
        (0, _) => Expr::All, // a conjunction of nothing but All
        (1, _) => flat.remove(0),
        (_, Joint::And) => Expr::And(flat),
        (_, Joint::Or) => Expr::Or(flat),
    }
}
