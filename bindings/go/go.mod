module nestvirt

go 1.19
