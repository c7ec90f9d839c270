//! What an expression reads of the object.
//!
//! The syntax tree is followed with, for each value, the place in the object that it is, if it is one. Selections lead from place to
//! place; whatever else uses a value is taken to read all of it.

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, Expr, LiteralValue, operators};

use super::super::path::Step;
use super::super::projection::Reads;
use super::OBJECT;
use super::check::children;

/// What a checked expression, not yet rewritten, reads.
pub(super) fn of(root: &IdedExpr) -> Reads {
    let mut analysis =
        Analysis { reads: Reads::default(), scope: vec![(OBJECT.to_owned(), Some(Vec::new()))] };
    analysis.uses(root);
    analysis.reads
}

/// Where in the object a value is; `None` for a value that is made.
type Place = Option<Vec<Step>>;

struct Analysis {
    reads: Reads,
    /// The variables, innermost last.
    scope: Vec<(String, Place)>,
}

impl Analysis {
    /// Takes a value to be read as a whole.
    fn uses(&mut self, node: &IdedExpr) {
        if let Some(place) = self.place(node) {
            self.reads.add_all(&place);
        }
    }

    fn place(&mut self, node: &IdedExpr) -> Place {
        match &node.expr {
            Expr::Ident(name) => {
                let name = name.trim_start_matches('.');
                self.scope.iter().rev().find(|(variable, _)| variable == name)?.1.clone()
            }
            Expr::Select(select) => {
                let member = self.below(&select.operand, Step::Key(select.field.clone()))?;
                if select.test {
                    // has(): whether the member is there, not what it is.
                    self.reads.at(&member);
                    return None;
                }
                Some(member)
            }
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT, [container, index]) => {
                    let step = match &index.expr {
                        Expr::Literal(LiteralValue::String(key)) => Step::Key(key.inner().to_owned()),
                        _ => Step::Every,
                    };
                    self.uses(index);
                    self.below(container, step)
                }
                _ => self.uses_all(node),
            },
            Expr::Comprehension(comprehension) => {
                self.comprehension(comprehension);
                None
            }
            _ => self.uses_all(node),
        }
    }

    fn below(&mut self, container: &IdedExpr, step: Step) -> Place {
        let mut place = self.place(container)?;
        place.push(step);
        // Also where nothing is read of it: a selection fails or not.
        self.reads.at(&place);
        Some(place)
    }

    fn uses_all(&mut self, node: &IdedExpr) -> Place {
        children(node).into_iter().for_each(|child| self.uses(child));
        None
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) {
        // The elements of a list, or the keys of a map: these are all there when the members are.
        let element = self.below(&comprehension.iter_range, Step::Every);
        self.uses(&comprehension.accu_init);
        let outer = self.scope.len();
        self.scope.push((comprehension.accu_var.clone(), None));
        self.uses(&comprehension.result);
        self.scope.push((comprehension.iter_var.clone(), element));
        if let Some(second) = &comprehension.iter_var2 {
            // With two variables the first one is the position or key; which is the element is not worth telling apart.
            let element = self.scope.last().and_then(|(_, place)| place.clone());
            self.scope.push((second.clone(), element));
        }
        self.uses(&comprehension.loop_cond);
        self.uses(&comprehension.loop_step);
        self.scope.truncate(outer);
    }
}
