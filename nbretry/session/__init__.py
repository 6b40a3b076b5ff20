"""What the magics, the panel and the command line share: providers by name, a question, its options and its run."""

from nbretry.session.question import Question
from nbretry.session.session import Session, default_session, register

__all__ = ["Question", "Session", "default_session", "register"]
