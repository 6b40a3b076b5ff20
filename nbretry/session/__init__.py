"""Code that the magics, the panel and the command line share: providers by name, questions, options and runs."""

from nbretry.session.question import Question
from nbretry.session.session import Session, default_session, register

__all__ = ["Question", "Session", "default_session", "register"]
