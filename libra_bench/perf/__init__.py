"""What Libra costs: counted from its shape, measured on a device, planned for a budget."""
