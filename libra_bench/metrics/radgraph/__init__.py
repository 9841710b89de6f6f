"""RadGraph: entities of a report and their relations, and how many two reports share."""
