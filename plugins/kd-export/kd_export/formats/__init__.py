"""The formats that kd-export offers: each file has functions that write a student, the targets of its exporters."""
