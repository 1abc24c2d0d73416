module gimbal

go 1.24
