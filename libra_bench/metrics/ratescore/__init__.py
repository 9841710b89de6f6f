"""RaTEScore: medical entities of two reports, matched by meaning and weighed by their kinds."""
